"""An agent's twin: which servers are replaced, kept and left out."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from retinue.agent import Databricks, Http, Observability, Stdio, ToolServer, Twin
from retinue.offline import MODELS, OFFLINE_MODEL, missing_twins, twin
from retinue.offline.model import OfflineModel
from retinue.pins import ServerPins
from retinue.run.references import environment
from retinue.testing import agent, route
from retinue.values import Template


def server(name: str, stand_in: Path | None = None) -> ToolServer:
    local = Twin(kind="genie_space", path=stand_in) if stand_in else None
    target = Databricks(kind="genie_space", target=None)
    return ToolServer(name=name, transport=target, auth="user", twin=local, timeout=7.0)


def test_a_databricks_server_becomes_a_process_over_its_folder(tmp_path: Path) -> None:
    (made,) = twin(agent(mcp_servers=(server("sales", tmp_path),))).mcp_servers
    assert made.transport == Stdio(
        command=sys.executable, args=("-m", "retinue.offline.genie", str(tmp_path))
    )
    assert (made.name, made.timeout, made.auth) == ("sales", 7.0, "app")


def test_a_server_without_a_twin_is_left_out_and_named(tmp_path: Path) -> None:
    mixed = agent(mcp_servers=(server("sales", tmp_path), server("lonely")))
    assert [s.name for s in twin(mixed).mcp_servers] == ["sales"]
    assert missing_twins(mixed) == ("lonely",)


def test_other_servers_stay_as_they_are() -> None:
    others = (
        ToolServer(name="docs", transport=Http(url=Template(("https://docs.example.com",)))),
        ToolServer(name="calc", transport=Stdio(command="calc")),
    )
    assert twin(agent(mcp_servers=others)).mcp_servers == others
    assert missing_twins(agent(mcp_servers=others)) == ()


def test_the_route_is_replaced_but_not_its_settings_and_the_agent_kept() -> None:
    there = route("databricks/x", settings={"temperature": 0.5}, api_key="k")
    before = agent(model=there)
    after = twin(before)
    assert (after.model.model, after.model.settings) == (OFFLINE_MODEL, {"temperature": 0.5})
    assert before.model is there
    assert (after.name, after.instructions) == (before.name, before.instructions)


def test_the_offline_provider_opens_the_offline_model() -> None:
    (deployment,) = route(OFFLINE_MODEL).deployments
    assert isinstance(MODELS[deployment.provider](deployment, environment({})), OfflineModel)


def test_importing_the_room_brings_in_neither_duckdb_nor_mcp() -> None:
    code = "import sys, retinue.offline; print({'duckdb', 'mcp', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_duckdb_is_one_clear_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked.py"
    blocked.write_text(
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'duckdb':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from pathlib import Path\n"
        "from retinue.errors import ProjectError\n"
        "from retinue.offline.genie.warehouse import Warehouse\n"
        "try:\n"
        "    Warehouse(Path('seed.sql'), catalog='samples')\n"
        "except ProjectError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, blocked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "the offline space needs duckdb, which is not installed: pip install 'retinue[offline]'"
    )


def test_traces_go_to_a_collector_and_to_no_experiment() -> None:
    both = Observability(mlflow_experiment="/Shared/x", otlp_endpoint="http://127.0.0.1:4318")
    kept = twin(agent(observability=both)).observability
    assert kept == Observability(otlp_endpoint="http://127.0.0.1:4318")
    alone = Observability(mlflow_experiment="/Shared/x")
    assert twin(agent(observability=alone)).observability is None


def test_a_twin_is_not_held_to_the_lock_of_what_it_stands_for(tmp_path: Path) -> None:
    real = ToolServer(name="calc", transport=Stdio(command="calc"), pin="strict")
    space = replace(server("sales", tmp_path), pin="strict")
    pins = (ServerPins("calc", ()), ServerPins("sales", ()))
    made = twin(agent(mcp_servers=(real, space), pins=pins))
    assert [kept.pin for kept in made.mcp_servers] == ["strict", "warn"]
    assert made.pins == pins[:1]
