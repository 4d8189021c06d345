"""Agents → their versions in MLflow: a LoggedModel each, and what links a trace to it.

API: `create_logged_model` and its neighbours in databricks-sdk's ExperimentsAPI, which MLflow's
servers have too. Asked over REST, so that no thread imports the SDK's hundreds of modules.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retinue import __version__
from retinue.agent import Agent
from retinue.run.ports import Lookup
from retinue.run.tracing.export import NotSentError
from retinue.run.tracing.mlflow import Mlflow
from retinue.values import Ref

log = logging.getLogger("retinue.tracing")

PAUSES = (0.0, 10.0, 60.0)

_APP = Ref("env", "DATABRICKS_APP_NAME", default="")
_COMMIT = Ref("env", "RETINUE_GIT_COMMIT", default="")
_LONGEST = 250


class Versions:
    """The ids of agents' LoggedModels, as they become known: nothing waits for them.

    There is one for each agent and digest in an experiment, whichever process comes first. Only an
    app has them: on this machine every change of a file would be a version. Only where an event
    loop runs. `pauses` are the seconds before each try.
    """

    def __init__(
        self, agents: Iterable[Agent], lookup: Lookup, *, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._lookup = lookup
        self._pauses = pauses
        self._ids: dict[str, str] = {}
        self._closing = threading.Event()
        wanted = [a for a in agents if a.observability and a.observability.mlflow_experiment]
        if wanted and lookup(_APP):
            self._mlflow = Mlflow(lookup, asyncio.get_running_loop())
            # No thread of a pool: one that hangs would keep the process from ending.
            note = threading.Thread(
                target=self._note, args=(wanted,), name="agent versions", daemon=True
            )
            note.start()

    def link(self, agent: Agent) -> Mapping[str, str]:
        """Attributes for the root span of a run. MLflow makes a tag of the trace of the second;
        `mlflow.modelId` is what it calls the link itself.
        """
        known = self._ids.get(agent.name)
        return {"mlflow.modelId": known, "mlflow.traceTag.mlflow.modelId": known} if known else {}

    def close(self) -> None:
        """Try no more."""
        self._closing.set()

    def _note(self, agents: Iterable[Agent]) -> None:
        left = list(agents)
        why = ""
        for pause in self._pauses:
            if self._closing.wait(pause):
                return
            try:
                while left:
                    self._ids[left[0].name] = self._version(left[0])
                    del left[0]
            except NotSentError as error:
                why = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, requests go on without
                why = type(error).__name__
            else:
                return
        names = ", ".join(agent.name for agent in left)
        log.warning("the version of %s is not noted in MLflow: %s", names, why)

    def _version(self, agent: Agent) -> str:
        """The id of the oldest model of the agent's version, which is made if there is none."""
        place = agent.observability.mlflow_experiment if agent.observability else None
        experiment = str(self._mlflow.experiment(place or "").get("experiment_id"))
        query = {
            "experiment_ids": [experiment],
            "filter": f"name = '{agent.version}'",
            "order_by": [{"field_name": "creation_timestamp", "ascending": True}],
            "max_results": 1,
        }
        found = self._mlflow.models(query)
        if not found:
            body = {"experiment_id": experiment, "name": agent.version, **self._described(agent)}
            made = _id(self._mlflow.model("POST", "", body))
            ready = {"model_id": made, "status": "LOGGED_MODEL_READY"}
            self._mlflow.model("PATCH", f"/{made}", ready)
            # Another instance may have been quicker: all take the same one.
            found = self._mlflow.models(query) or [{"info": {"model_id": made}}]
        return _id(found[0])

    def _described(self, agent: Agent) -> dict[str, Any]:
        tags = {
            "mlflow.model.isExternal": "true",
            "mlflow.source.git.commit": self._lookup(_COMMIT),
            "retinue.agent": agent.name,
        }
        params = {
            "digest": agent.digest,
            "model": agent.model.name,
            "retinue": __version__,
            "app": self._lookup(_APP),
        }
        return {"model_type": "agent", "tags": _pairs(tags), "params": _pairs(params)}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": k, "value": v[:_LONGEST]} for k, v in values.items() if v]


def _id(model: Mapping[str, Any]) -> str:
    """Raises NotSentError where there is none."""
    info = model.get("info")
    found = info.get("model_id") if isinstance(info, dict) else None
    if not isinstance(found, str) or not found:
        raise NotSentError("what answers is no MLflow")
    return found
