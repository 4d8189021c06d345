"""`retinue validate`: exit codes, places, JSON."""

import json

BROKEN = (
    "name: helper\nmodell: openai/gpt-test\ninstructions: Be brief.\nlimits: {max_turns: many}\n"
)


def test_a_good_project_is_silent_but_for_its_agents(retinue):
    done = retinue("validate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok      helper")


def test_mistakes_are_all_told_with_their_places(retinue, project):
    (project / "agents" / "helper.yaml").write_text(BROKEN)
    done = retinue("validate")
    assert done.returncode == 2
    assert "agents/helper.yaml:2:1: " in done.stderr
    assert "did you mean 'model'?" in done.stderr
    assert "agents/helper.yaml:4:21: " in done.stderr
    assert "  2 | modell: openai/gpt-test\n    | ^^^^^^\n" in done.stderr


def test_json_tells_the_same(retinue, project):
    (project / "agents" / "helper.yaml").write_text(BROKEN)
    done = retinue("validate", "-o", "json")
    found = json.loads(done.stdout)
    assert done.returncode == 2
    assert {(d["line"], d["column"], d["severity"]) for d in found["diagnostics"]} >= {
        (2, 1, "error"),
        (4, 21, "error"),
    }


def test_one_broken_agent_leaves_the_others_valid(retinue, project):
    (project / "agents" / "bad.yaml").write_text("name: [")
    done = retinue("validate")
    assert done.returncode == 2
    assert "ok      helper" in done.stdout


def test_an_unknown_agent_names_the_nearest(retinue):
    done = retinue("validate", "helpr")
    assert done.returncode == 2
    assert "helper" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_project_it_says_so(retinue, tmp_path_factory):
    done = retinue("validate", cwd=tmp_path_factory.mktemp("empty"))
    assert done.returncode == 2
    assert "agents/" in done.stderr


def test_the_project_can_be_named_before_or_after_the_verb(retinue, project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert retinue("-C", str(project), "validate", cwd=elsewhere).returncode == 0
    assert retinue("validate", "-C", str(project), cwd=elsewhere).returncode == 0


def test_dotenv_is_read_and_never_overrides(retinue, project):
    (project / ".env").write_text("MODEL=openai/from-dotenv\n")
    (project / "agents" / "helper.yaml").write_text(
        "name: helper\nmodel: ${env.MODEL}\ninstructions: x\n"
    )
    shown = json.loads(retinue("show", "helper", "-o", "json").stdout)
    assert shown["model"]["id"] == "openai/from-dotenv"
    shown = json.loads(retinue("show", "helper", "-o", "json", MODEL="openai/from-env").stdout)
    assert shown["model"]["id"] == "openai/from-env"


def test_a_dotenv_that_cannot_be_read_is_named(retinue, project):
    (project / ".env").write_bytes("KEY=value\n".encode("utf-16"))
    done = retinue("validate")
    assert (done.returncode, done.stderr) == (2, "error: .env is not UTF-8: save it as UTF-8\n")
    (project / ".env").write_text("GOOD=1\nthis is not a setting\n")
    done = retinue("validate")
    assert done.returncode == 2
    assert ".env:2: " in done.stderr


def test_a_project_without_agents_is_told(retinue, project):
    (project / "agents" / "helper.yaml").unlink()
    done = retinue("validate")
    assert done.returncode == 2
    assert "agents/NAME.yaml" in done.stderr


def test_a_target_is_checked_for_deployment(retinue, shipped):
    done = retinue("validate", "--target", "prod", cwd=shipped)
    assert done.returncode == 2
    assert "bakehouse_space_id" in done.stderr
    done = retinue("validate", "--target", "prod", "--var", "bakehouse_space_id=01ef", cwd=shipped)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_shipped_agents_are_valid(retinue, shipped):
    done = retinue("validate", cwd=shipped)
    assert (done.returncode, done.stderr) == (0, "")
    assert "genie-analyst" in done.stdout
    assert "assistant" in done.stdout


def test_usage_mistakes_exit_with_2(retinue):
    assert retinue("validate", "--nonsense").returncode == 2
    assert retinue("nonsense").returncode == 2
    assert retinue("validate", "--var", "novalue").returncode == 2
