"""An agent → its twin that needs no account: an offline model, local stand-ins for Databricks."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from retinue.agent import Agent, Databricks, Observability, RemoteAgent, Stdio, ToolServer, Twin
from retinue.offline.model import OfflineModel
from retinue.route import Deployment, Price, Route
from retinue.run.ports import Lookup, Model, ModelFactory

OFFLINE_MODEL = "offline/analyst"
_OFFLINE = (Deployment(model=OFFLINE_MODEL, price=Price(input=0, output=0)),)


def twin(agent: Agent) -> Agent:
    """The agent with the offline model for every route and a local twin for every Databricks
    server. A Databricks server without a twin is left out, and so is an agent in a Databricks App:
    `missing_twins` names them. So is the MLflow experiment, for which one needs an account. Pure.
    """
    servers = (_local(server) for server in agent.mcp_servers)
    real = {s.name for s in agent.mcp_servers if not isinstance(s.transport, Databricks)}
    return replace(
        agent,
        model=Route(deployments=_OFFLINE, settings=agent.model.settings, bounds=agent.model.bounds),
        mcp_servers=tuple(server for server in servers if server is not None),
        pins=tuple(pins for pins in agent.pins if pins.server in real),
        sub_agents=tuple(replace(sub, agent=twin(sub.agent)) for sub in agent.sub_agents),
        remote_agents=tuple(each for each in agent.remote_agents if _is_open(each)),
        observability=_without_experiment(agent.observability),
    )


def missing_twins(agent: Agent) -> tuple[str, ...]:
    """The names of the servers and remote agents that `twin` leaves out, sub-agents' too."""
    own = (server.name for server in agent.mcp_servers if _local(server) is None)
    remote = (each.name for each in agent.remote_agents if not _is_open(each))
    theirs = (name for sub in agent.sub_agents for name in missing_twins(sub.agent))
    return tuple(dict.fromkeys((*own, *remote, *theirs)))


def _local(server: ToolServer) -> ToolServer | None:
    if not isinstance(server.transport, Databricks):
        return server
    if server.twin is None:
        return None
    # Its tools are not those that the lock was written for.
    return replace(server, transport=_process(server.twin), twin=None, auth="app", pin="warn")


def _is_open(remote: RemoteAgent) -> bool:
    """Whether it is reached without a Databricks account."""
    return not isinstance(remote.transport, Databricks)


def _without_experiment(observability: Observability | None) -> Observability | None:
    if observability is None or observability.otlp_endpoint is None:
        return None
    return replace(observability, mlflow_experiment=None)


def _process(stand_in: Twin) -> Stdio:
    folder = Path(stand_in.path).absolute()
    return Stdio(command=sys.executable, args=("-m", "retinue.offline.genie", str(folder)))


def _open_model(_deployment: Deployment, _lookup: Lookup) -> Model:
    return OfflineModel()


MODELS: Mapping[str, ModelFactory] = {"offline": _open_model}
"""The providers that this room adds to those of `retinue.run.models`."""
