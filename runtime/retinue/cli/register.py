"""`retinue register`: an agent's version → a version of a model in Unity Catalog."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from retinue import __version__
from retinue.agent import Agent
from retinue.cli.options import (
    AgentArgument,
    ProfileOption,
    ProjectOption,
    TargetOption,
    VariableOption,
    checked,
    choose_profile,
    compile_project,
    open_project,
)
from retinue.errors import RetinueError, UsageError

_NAME = re.compile(r"[^\s./]+\.[^\s./]+\.[^\s./]+")
_EXTRA = "registering needs MLflow's client: pip install 'retinue[register]'"
# Unity Catalog takes no model without a signature, and an agent has none of this kind.
_SIGNATURE = json.dumps([{"type": "boolean", "required": True}])


class RegisterError(RetinueError):
    """MLflow doesn't take the version; the message says what to do."""


def command(
    ctx: typer.Context,
    agent: AgentArgument,
    model: Annotated[
        str, typer.Option(metavar="CATALOG.SCHEMA.NAME", help="The model in Unity Catalog.")
    ],
    target: TargetOption = None,
    profile: ProfileOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Register an agent's version as a version of a model in Unity Catalog.

    It is the LoggedModel that a deployed app of the same version tags its traces with: what the
    catalog governs and what runs can be told apart from what doesn't.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not server.startswith("http") and not _NAME.fullmatch(model):
        raise UsageError(f"'{model}' is no model of Unity Catalog: write CATALOG.SCHEMA.NAME")
    (compiled,) = checked(compile_project(open_project(ctx, project), [agent], variables, target))
    place = compiled.observability and compiled.observability.mlflow_experiment
    if not place:
        raise UsageError(
            f"{agent} has no MLflow experiment: write `observability: {{mlflow_experiment: …}}` in "
            "retinue.yaml"
        )
    if find_spec("mlflow") is None:
        raise RegisterError(_EXTRA)
    if profile:
        choose_profile(profile)
    with _explained():
        version = _registered(
            _client(server), compiled, os.environ.get("MLFLOW_EXPERIMENT_ID", place), model
        )
    typer.echo(f"{compiled.version} is version {version} of {model}")


command.__name__ = "register"


def _client(server: str) -> Any:
    """MLflow's client of the workspace, or of a server that MLFLOW_TRACKING_URI names."""
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or (server or "databricks-uc")
    mlflow = import_module("mlflow.tracking")
    return mlflow.MlflowClient(tracking_uri=server or "databricks", registry_uri=registry)


def _registered(client: Any, agent: Agent, place: str, model: str) -> str:
    """The number of the version that the model has got."""
    found = (
        client.get_experiment_by_name(place) if place[:1] == "/" else client.get_experiment(place)
    )
    if found is None:
        raise RegisterError(
            f"there is no experiment {place}: deploy once, or set MLFLOW_EXPERIMENT_ID to the id "
            "of the one that the app uses"
        )
    logged = _logged(client, agent, found.experiment_id)
    with TemporaryDirectory() as folder:
        (Path(folder) / "MLmodel").write_text(_described(logged))
        client.log_model_artifacts(model_id=logged.model_id, local_dir=folder)
    ready = import_module("mlflow.entities.logged_model_status").LoggedModelStatus.READY
    client.finalize_logged_model(logged.model_id, ready)
    exceptions = import_module("mlflow.exceptions")
    try:
        client.create_registered_model(model)
    except exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        model,
        source=f"models:/{logged.model_id}",
        model_id=logged.model_id,
        tags={"retinue.agent": agent.name, "retinue.digest": agent.digest},
    )
    return str(made.version)


def _logged(client: Any, agent: Agent, experiment: str) -> Any:
    """The version's LoggedModel: the app's own where it has run already."""
    known = client.search_logged_models(
        experiment_ids=[experiment],
        filter_string=f"name = '{agent.version}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": True}],
        max_results=1,
    )
    if known:
        return known[0]
    return client.create_logged_model(
        experiment_id=experiment,
        name=agent.version,
        model_type="agent",
        tags={"mlflow.model.isExternal": "true", "retinue.agent": agent.name},
        params={"digest": agent.digest, "model": agent.model.name, "retinue": __version__},
    )


def _described(logged: Any) -> str:
    """An MLmodel file for what isn't packaged as MLflow's models are. JSON is YAML, too."""
    signature = {"inputs": _SIGNATURE, "outputs": _SIGNATURE, "params": None}
    described = {
        "artifact_path": logged.artifact_location,
        "flavors": {},
        "model_id": logged.model_id,
        "model_uuid": logged.model_id,
        "signature": signature,
    }
    return json.dumps(described, indent=2)


@contextmanager
def _explained() -> Iterator[None]:
    """MLflow's errors by their codes: their texts may quote what a server said."""
    exceptions = import_module("mlflow.exceptions")
    try:
        yield
    except exceptions.MlflowException as error:
        raise RegisterError(f"MLflow doesn't take it: {error.error_code}") from None
    except ImportError as error:
        raise RegisterError(f"MLflow needs {error.name} here: pip install it beside") from None
