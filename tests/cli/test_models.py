"""`retinue models`: routes by name with what they cost, and one real call to each."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from run.models.fake_upstream import chunk, plays, refuses, upstream

SHARED = """\
models:
  analyst:
    deployments:
      - name: azure/gpt-4o
        api_base: https://${env.RESOURCE}.example
        api_key: ${secret.llm/azure}
        weight: 3
      - {name: openai/our-own, price: {input: 1, output: 2}}
    fallbacks: [backup]
  backup: anthropic/claude-sonnet-4-5
  spare: databricks/ours
"""
SECRETS = {"RESOURCE": "hunter2-host", "RETINUE_SECRET_LLM_AZURE": "hunter2-key"}


@pytest.fixture
def routes(project):
    (project / "retinue.yaml").write_text(SHARED)
    for name, model in (("a", "analyst"), ("b", "{name: analyst, settings: {temperature: 1}}")):
        (project / "agents" / f"{name}.yaml").write_text(f"model: {model}\ninstructions: Hi.\n")
    return project


@pytest.mark.usefixtures("routes")
def test_routes_are_listed_with_who_uses_them_and_what_they_cost(retinue):
    done = retinue("models", **SECRETS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "analyst  (used by a, b)"
    assert "azure/gpt-4o x3" in done.stdout
    assert "$2.5 in, $10 out per million" in done.stdout
    assert "$1 in, $2 out per million" in done.stdout
    assert "else anthropic/claude-sonnet-4-5  context 200,000" in done.stdout
    assert "spare  (not used)\n  databricks/ours  context unknown; price unknown" in done.stdout
    assert "openai/gpt-test  (used by helper)" in done.stdout


@pytest.mark.usefixtures("routes")
def test_json_says_the_same_and_no_secret_is_shown(retinue):
    done = retinue("models", "-o", "json", **SECRETS)
    assert "hunter2" not in done.stdout + retinue("models", **SECRETS).stdout
    analyst, backup, spare, inline = json.loads(done.stdout)["routes"]
    assert analyst["agents"] == ["a", "b"]
    assert [d["model"] for d in analyst["deployments"]] == ["azure/gpt-4o", "openai/our-own"]
    assert analyst["deployments"][0]["takes"]["images"] is True
    assert analyst["deployments"][1]["price"] == {
        "input": 1.0, "output": 2.0, "cached_input": None, "cache_write": None, "from": "file",
    }  # fmt: skip
    assert analyst["fallbacks"][0]["name"] == "backup"
    assert backup["deployments"][0]["price"]["from"] == "list"
    assert spare["deployments"][0]["price"] is None
    assert inline["agents"] == ["helper"]


@pytest.mark.usefixtures("routes")
def test_listing_imports_no_provider(project):
    probe = (
        "import sys\nsys.argv = ['retinue', 'models']\nfrom retinue.cli import app\n"
        "app(standalone_mode=False)\nprint({'litellm', 'openai', 'mcp'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=project,
        env={**os.environ, **SECRETS},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_mistake_in_a_file_is_told(retinue, project):
    (project / "agents" / "bad.yaml").write_text("name: [")
    done = retinue("models")
    assert done.returncode == 2
    assert done.stderr.count("agents/bad.yaml:2:1: ") == 1


def writes(project, url, *, fallback=""):
    place = f'{{name: openai/gpt-4o, api_base: "{url}", api_key: "${{env.KEY}}"}}'
    spare = f"fallbacks: [{fallback}]" if fallback else ""
    shared = f"models:\n  main:\n    deployments: [{place}]\n    retries: 0\n    {spare}\n"
    (project / "retinue.yaml").write_text(shared)


async def test_a_route_is_asked_for_real(retinue, project):
    used = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    play = plays(chunk({"content": "ready"}), chunk({}, "stop"), chunk(usage=used))
    async with upstream(play) as fake:
        writes(project, fake.url)
        words = ("models", "test", "main")
        text, plain = [
            await asyncio.to_thread(retinue, *words, *more, KEY="sk-hunter2")
            for more in ((), ("-o", "json"))
        ]
    assert (text.returncode, plain.returncode) == (0, 0), text.stderr
    assert text.stdout.startswith("ok      main  openai/gpt-4o  first token ")
    assert "tokens 1000 + 100, $0.003500" in text.stdout
    (result,) = json.loads(plain.stdout)["results"]
    assert result["ok"]
    assert result["usage"]["cost_usd"] == pytest.approx(0.0035)
    assert 0 < result["first_token_seconds"] <= result["seconds"]
    _, body = fake.requests[0]
    assert body["messages"][-1]["role"] == "user"


async def test_a_place_that_fails_is_told_and_its_fallback_asked_too(retinue, project):
    async with upstream(refuses(401)) as fake:
        writes(project, fake.url, fallback="offline/analyst")
        done = await asyncio.to_thread(retinue, "models", "test", "main", KEY="sk-hunter2")
    assert done.returncode == 1
    assert done.stderr.startswith("failed  main  openai/gpt-4o: ")
    assert "did not accept the credentials" in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stdout.startswith("ok      main  offline/analyst")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name one route, or say --all"),
        (("main", "--all"), "name one route, or say --all"),
        (("mian",), "did you mean 'main'?"),
    ],
)
def test_the_route_has_to_be_known(retinue, project, words, said):
    writes(project, "http://127.0.0.1:9")
    done = retinue("models", "test", *words, KEY="x")
    assert done.returncode == 2
    assert said in done.stderr


def test_an_agents_name_stands_for_its_route(retinue, project):
    (project / "agents" / "helper.yaml").write_text("model: offline/analyst\ninstructions: Hi.\n")
    done = retinue("models", "test", "helper")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok      offline/analyst")
