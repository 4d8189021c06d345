"""`retinue register`, with a stand-in for MLflow's client that was tried as the real one."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

MODEL = "main.agents.helper"
# As of mlflow-skinny 3.17; it lacks numpy, which MLflow's shorter ways of doing this import.
CLIENT = """
import json, os
from types import SimpleNamespace as Made
from mlflow.exceptions import MlflowException

class MlflowClient:
    def __init__(self, tracking_uri, registry_uri):
        note("client", tracking_uri=tracking_uri, registry_uri=registry_uri)

    def get_experiment_by_name(self, name):
        return Made(experiment_id="42") if name == "/Shared/agents" else None

    def search_logged_models(self, experiment_ids, filter_string, max_results, order_by):
        note("search", filter=filter_string, experiments=experiment_ids)
        return [Made(model_id="m-app", artifact_location="x")] if "KNOWN" in os.environ else []

    def create_logged_model(self, experiment_id, name, model_type, tags, params):
        note("create", name=name, digest=params["digest"])
        return Made(model_id="m-new", artifact_location="x")

    def log_model_artifacts(self, model_id, local_dir):
        with open(os.path.join(local_dir, "MLmodel")) as file:
            note("upload", model=model_id, described=json.load(file))

    def finalize_logged_model(self, model_id, status):
        note("finalize", model=model_id, status=status)

    def create_registered_model(self, name):
        raise MlflowException(os.environ.get("REFUSED", "RESOURCE_ALREADY_EXISTS"))

    def create_model_version(self, name, source, model_id, tags):
        note("version", name=name, source=source, tags=tags)
        return Made(version="3")

def note(call, **given):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps({"call": call, **given}) + "\\n")
"""
EXCEPTIONS = """
class MlflowException(Exception):
    def __init__(self, code):
        super().__init__("a text of the server's own")
        self.error_code = code
"""


@pytest.fixture
def mlflow(project: Path) -> dict[str, str]:
    """The environment of a command that finds the stand-in; the agent has an experiment."""
    package = project / "installed" / "mlflow"
    (package / "entities").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "entities" / "__init__.py").touch()
    (package / "tracking.py").write_text(CLIENT)
    (package / "exceptions.py").write_text(EXCEPTIONS)
    status = "class LoggedModelStatus:\n    READY = 'READY'\n"
    (package / "entities" / "logged_model_status.py").write_text(status)
    (project / "retinue.yaml").write_text("observability: {mlflow_experiment: /Shared/agents}\n")
    return {"PYTHONPATH": str(package.parent), "CALLS": str(project / "calls")}


def calls(project: Path) -> dict[str, dict[str, object]]:
    told = map(json.loads, (project / "calls").read_text().splitlines())
    return {entry["call"]: entry for entry in told}


def test_a_version_is_made_described_and_registered(project, mlflow, retinue):
    done = retinue("register", "helper", "--model", MODEL, **mlflow)
    assert done.returncode == 0, done.stderr
    made = calls(project)
    name = made["create"]["name"]
    assert done.stdout == f"{name} is version 3 of {MODEL}\n"
    assert name == f"helper-{made['create']['digest'][:12]}"
    assert made["client"]["registry_uri"] == "databricks-uc"
    assert made["upload"]["described"]["model_id"] == "m-new"
    assert json.loads(made["upload"]["described"]["signature"]["inputs"])
    assert made["version"]["source"] == "models:/m-new"
    assert made["finalize"]["status"] == "READY"


def test_the_version_of_a_running_app_is_taken(project, mlflow, retinue):
    done = retinue("register", "helper", "--model", MODEL, KNOWN="1", **mlflow)
    assert done.returncode == 0, done.stderr
    assert "create" not in calls(project)
    assert calls(project)["version"]["source"] == "models:/m-app"


def test_what_mlflow_says_is_told_by_its_code(mlflow, retinue):
    done = retinue("register", "helper", "--model", MODEL, REFUSED="PERMISSION_DENIED", **mlflow)
    assert (done.returncode, done.stderr) == (
        1,
        "error: MLflow doesn't take it: PERMISSION_DENIED\n",
    )


def test_an_experiment_that_is_not_there(project, mlflow, retinue):
    (project / "retinue.yaml").write_text("observability: {mlflow_experiment: /gone}\n")
    done = retinue("register", "helper", "--model", MODEL, **mlflow)
    assert done.returncode == 1
    assert "there is no experiment /gone: deploy once, or set MLFLOW_EXPERIMENT_ID" in done.stderr


def test_what_can_t_be_registered(retinue):
    done = retinue("register", "helper", "--model", "helper")
    assert done.returncode == 2
    assert "write CATALOG.SCHEMA.NAME" in done.stderr
    done = retinue("register", "helper", "--model", MODEL)
    assert done.returncode == 2
    assert "helper has no MLflow experiment" in done.stderr


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="MLflow is installed here")
def test_without_mlflow_s_client_the_extra_is_named(project, retinue):
    (project / "retinue.yaml").write_text("observability: {mlflow_experiment: /Shared/agents}\n")
    done = retinue("register", "helper", "--model", MODEL)
    assert done.returncode == 1
    assert "pip install 'retinue[register]'" in done.stderr
