"""`retinue doctor`: what is there, what isn't, and what to do about it."""

import json
import sys
from pathlib import Path

SERVERS = Path(__file__).parents[1] / "run" / "servers"
SECRET = "hunter2-hunter2"


def write(project: Path, *servers: str, model: str = "openai/gpt-test") -> None:
    lines = "".join(f"  {server}\n" for server in servers)
    below = f"mcp_servers:\n{lines}" if servers else ""
    (project / "agents" / "helper.yaml").write_text(
        f"name: helper\nmodel: {model}\ninstructions: Be brief.\n{below}"
    )


def started(name: str, file: str, *args: str, **more: object) -> str:
    told = {"command": sys.executable, "args": [str(SERVERS / file), *args], **more}
    return f"{name}: {json.dumps(told)}"


def checks(done) -> dict[str, dict]:
    return {f"{c['area']} {c['name']}": c for c in json.loads(done.stdout)["checks"]}


def test_all_is_well(retinue, project):
    write(project, started("good", "hostile.py"))
    (project / ".env").write_text("OPENAI_API_KEY=sk-test-test\n")
    done = retinue("doctor")
    assert (done.returncode, done.stderr) == (0, "all is well\n")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", area] for area in ("python", "project", "agent", "key", "server", "store")
    ]
    assert not (project / ".retinue").exists()
    assert "1 agent file, .env" in lines[1]
    assert "2 tools, MCP 2025-11-25" in lines[4]
    assert "sk-test" not in done.stdout


def test_what_is_wrong_is_said_by_name(retinue, project):
    key = {"THE_KEY": "${env.THE_KEY}"}
    write(
        project,
        started("dies", "hostile.py", "exits at start", env=key),
        started("odd", "hostile.py", "odd tools", tools={"exclude": ["nope_*"]}),
        'gone: {url: "http://127.0.0.1:9/mcp", required: true}',
        'locked: {url: "http://127.0.0.1:9/mcp", headers: {Authorization: "${secret.a/b}"}}',
    )
    done = retinue("doctor", "-o", "json", THE_KEY=SECRET)
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    found = checks(done)
    assert found["key ${env.THE_KEY}"]["state"] == "ok"
    assert "RETINUE_SECRET_A_B is not set" in found["key ${secret.a/b}"]["detail"]
    assert "OPENAI_API_KEY" in found["key openai/gpt-test"]["detail"]
    dies = found["server dies"]
    assert dies["state"] == "failed"
    assert dies["detail"].endswith("exited with status 4: missing ${env.THE_KEY}")
    odd = found["server odd"]
    assert (odd["state"], odd["connection"], odd["agents"]) == ("warning", "up", ["helper"])
    assert "good" in odd["tools"]
    assert any("'array' is left out" in remark for remark in odd["remarks"])
    assert any("'nope_*' matches no tool" in remark for remark in odd["remarks"])
    assert odd["latency_seconds"] > 0
    assert found["server gone"]["required"]
    assert "can't connect" in found["server gone"]["detail"]
    assert "is needed" in found["server locked"]["detail"]


def test_a_mistake_in_a_file_is_one_of_its_checks(retinue, project):
    (project / "agents" / "broken.yaml").write_text("name: broken\nmodle: x\n")
    done = retinue("doctor", OPENAI_API_KEY="sk-test-test")
    assert done.returncode == 2
    assert "failed   agent    agents/broken.yaml:2:1: unknown key 'modle'" in done.stdout
    assert "ok       agent    helper" in done.stdout


def test_offline_asks_nobody(retinue, shipped):
    done = retinue("doctor", "--offline", "-o", "json", cwd=shipped)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(name.startswith("key") for name in checks(done))
    assert checks(done)["server bakehouse"]["connection"] == "up"
    assert retinue("doctor", "--offline", "--online", cwd=shipped).returncode == 2


def test_online_looks_at_the_models(retinue, project):
    write(project, model="databricks/claude")
    done = retinue("doctor", "--online", "-o", "json")
    assert done.returncode == 1
    found = checks(done)
    assert "databricks auth login" in found["key Databricks"]["detail"]
    assert any(name.startswith("model ") for name in found)


def test_the_sandbox_of_scripts_is_one_of_the_checks(retinue, project):
    scripts = project / "skills" / "tidy" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "run.py").write_text("print(1)\n")
    (scripts.parent / "SKILL.md").write_text("---\nname: tidy\ndescription: Tidies.\n---\nRun.\n")
    write(project)
    with (project / "agents" / "helper.yaml").open("a") as file:
        file.write("skills: [{name: tidy, scripts: sandbox, strict: true}]\n")
    check = checks(retinue("doctor", "-o", "json"))["scripts sandbox"]
    if check["state"] == "ok":
        assert check["detail"] == "it has all layers: limits, files, calls, network"
    else:
        assert "lacks" in check["detail"] or "on Linux" in check["detail"]


def test_what_sub_agents_need_is_looked_at_too(retinue, project):
    write(project, started("good", "hostile.py"))
    (project / "agents" / "boss.yaml").write_text(
        "name: boss\nmodel: openai/gpt-test\ninstructions: Ask.\nsub_agents:\n  - helper\n"
        "  - {agent: far, url: 'http://127.0.0.1:9/v1', api_key: '${secret.agents/far}'}\n"
    )
    found = checks(retinue("doctor", "boss", "-o", "json", OPENAI_API_KEY="sk-test"))
    assert found["server good"]["state"] == "ok"
    assert found["key ${secret.agents/far}"]["state"] == "failed"
    assert "RETINUE_SECRET_AGENTS_FAR is not set" in found["key ${secret.agents/far}"]["detail"]


def test_what_only_a_server_needs_is_looked_at_too(retinue, project):
    write(project)
    (project / "retinue.yaml").write_text(
        "auth: {mode: api_key}\n"
        "store: postgresql://nobody@127.0.0.1:9/none\n"
        "observability:\n"
        "  otlp: {endpoint: https://o.example/v1, headers: {x-key: '${secret.otel/key}'}}\n"
    )
    found = checks(retinue("doctor", "-o", "json", OPENAI_API_KEY="sk-test"))
    assert "keys of the store" in found["key callers' API keys"]["detail"]
    assert found["store PostgreSQL"]["state"] == "failed"
    assert "RETINUE_SECRET_OTEL_KEY" in found["key observability.otlp x-key"]["detail"]
    (project / "retinue.yaml").write_text("auth: {mode: api_key}\nstore: off\n")
    found = checks(retinue("doctor", "-o", "json", OPENAI_API_KEY="sk-test"))
    assert found["key callers' API keys"]["state"] == "failed"
    assert "RETINUE_API_KEYS is not set" in found["key callers' API keys"]["detail"]
    (project / "retinue.yaml").write_text("auth: {mode: api_key}\nstore: sqlite:///kept/s.db\n")
    done = retinue("doctor", "-o", "json", OPENAI_API_KEY="sk-test", RETINUE_API_KEYS=SECRET)
    found = checks(done)
    assert {one["state"] for one in found.values()} == {"ok"}
    assert SECRET not in done.stdout
    assert not (project / "kept").exists()
