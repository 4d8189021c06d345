"""The tool that runs a skill's scripts: what it takes, what the model is told, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ledgers import end, play, said
from retinue.agent import Skill, SkillFile
from retinue.compile import compile_agents
from retinue.project import Project
from retinue.run.events import ToolFinished, ToolResult, ToolStarted
from retinue.run.messages import Message, ToolCall
from retinue.run.runtime import Runtime
from retinue.run.skill_scripts import script_tool
from retinue.run.skills import skill_tools
from retinue.run.toolbox import AgentToolbox
from retinue.testing import ScriptedModel, calls, run_context, says
from run.sandbox.scripts import SMALL, linux_only

pytestmark = linux_only

SCRIPTS = {
    "scripts/echo.py": "import sys\nprint(sys.argv[1:], repr(sys.stdin.read()))\n",
    "scripts/fail.py": "import sys\nprint('so far')\nprint('bad', file=sys.stderr)\nsys.exit(3)\n",
    "scripts/module.py": "import nothing.like.it\n",
    "scripts/sibling.py": "import echo\n",
    "scripts/guide.sh": 'cat "$SKILL_DIR/references/guide.md"; pwd | cut -c1-4\n',
    "scripts/write.py": "open('a.txt', 'w').write('made')\nopen('b.bin', 'wb').write(bytes(9))\n",
    "scripts/long.py": "print('x' * 100_000)\n",
    "scripts/quiet.py": "",
    "scripts/tool": "#!/bin/sh\necho $1\n",
    "scripts/app.ts": "let x: number\n",
    "scripts/node.mjs": "console.log(process.argv.slice(2).join())\n",
    "scripts/killed.py": "import os\nos.abort()\n",
    "references/guide.md": "be tidy\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in SCRIPTS.items():
        place = tmp_path / "skill" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tmp_path / "skill" / "scripts" / "tool").chmod(0o755)
    return tmp_path / "skill"


def skill(root: Path, **changes: Any) -> Skill:
    files = tuple(SkillFile(path=path, size=len(text)) for path, text in SCRIPTS.items())
    fields = {"name": "tidy", "description": "Tidies.", "body": "", "root": root, "files": files}
    return Skill(**{**fields, "scripts": "sandbox", **changes})


async def called(skills: Skill, script: str, /, **arguments: Any) -> ToolResult:
    toolbox = AgentToolbox([], script_tool([skills], bounds=SMALL))
    text = json.dumps({"skill": "tidy", "script": script, **arguments})
    return await toolbox.call(ToolCall("c1", "run_skill_script", text), run_context())


def test_there_is_no_tool_without_scripts_that_may_be_run(root: Path) -> None:
    assert script_tool([skill(root, scripts="off")]) == ()
    assert script_tool([skill(root, files=())]) == ()
    assert "run_skill_script" not in [
        b.tool.name for b in skill_tools([skill(root, scripts="off")])
    ]
    named = skill_tools([skill(root), skill(root, name="other", scripts="off")])[-1].tool
    assert named.name == "run_skill_script"
    assert named.parameters["properties"]["skill"]["enum"] == ["tidy"]  # type: ignore[index,call-overload]


async def test_a_loaded_skill_says_how_its_scripts_are_run(root: Path) -> None:
    for scripts, told in (("sandbox", True), ("ask", True), ("off", False)):
        toolbox = AgentToolbox([], skill_tools([skill(root, scripts=scripts)]))
        loaded = await toolbox.call(ToolCall("c", "load_skill", '{"name": "tidy"}'), run_context())
        assert ("with run_skill_script" in loaded.text) == told


async def test_arguments_and_input_arrive_as_they_are(root: Path) -> None:
    args = ["a b", "$(id)", "é", "--x", ""]
    result = await called(skill(root), "scripts/echo.py", args=args, stdin="in\nput")
    assert result.text == f"{args!r} 'in\\nput'"
    assert not result.is_error
    assert result.structured == {
        "exit_code": 0,
        "ended": None,
        "seconds": result.structured["seconds"],  # type: ignore[index,call-overload]
        "files": [],
        "more_files": 0,
        "missing_layers": result.structured["missing_layers"],  # type: ignore[index,call-overload]
    }


TOLD = {
    "echo.py": "[] ''",
    "scripts/fail.py": "so far\n[stderr]\nbad\n[the script ended with exit code 3]",
    "scripts/sibling.py": "[] ''",
    "scripts/guide.sh": "be tidy\n/tmp",
    "scripts/quiet.py": "[the script printed nothing]",
    "scripts/killed.py": "[the script ended with signal 6]",
    "scripts/write.py": (
        "[wrote a.txt, 4 bytes]\nmade\n[wrote b.bin, 9 bytes]\n"
        "[the files are gone with the script: print what is needed of them]"
    ),
}


@pytest.mark.parametrize("script", TOLD)
async def test_what_the_model_is_told(root: Path, script: str) -> None:
    result = await called(skill(root), script)
    assert result.text == TOLD[script]
    assert result.is_error == ("ended with" in result.text)


async def test_a_program_of_its_own(root: Path) -> None:
    assert (await called(skill(root), "scripts/tool", args=["hi"])).text == "hi"


async def test_node(root: Path) -> None:
    if not shutil.which("node", path="/usr/local/bin:/usr/bin:/bin"):
        pytest.skip("this machine has no Node.js")
    result = await called(skill(root), "scripts/node.mjs", args=["a", "b"])
    assert result.text == "a,b"


async def test_a_package_that_is_not_there_is_told(root: Path) -> None:
    result = await called(skill(root), "scripts/module.py")
    assert "[the package 'nothing' isn't installed with this agent, nor can it be]" in result.text


async def test_long_output_is_cut(root: Path) -> None:
    result = await called(skill(root), "scripts/long.py")
    assert result.text.endswith("\n[cut: 100,001 bytes in all]")
    assert len(result.text) < 31_000


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"script": "references/guide.md"}, "has no script 'references/guide.md'"),
    ({"script": "../../etc/passwd"}, "has no script"),
    ({"script": "/bin/sh"}, "has no script"),
    ({"script": "scripts/echo"}, "did you mean 'scripts/echo.py'"),
    ({"script": "scripts/app.ts"}, "can't be run here"),
    ({"script": "echo.py", "skill": "other"}, "don't fit its schema"),
    ({"script": "echo.py", "args": "one"}, "don't fit its schema"),
    ({"script": "echo.py", "args": [1]}, "don't fit its schema"),
    ({"script": "echo.py", "args": ["x"] * 101}, "don't fit its schema"),
    ({"script": "echo.py", "args": ["x" * 20_000]}, "are too long"),
    ({"script": "echo.py", "args": ["a\0b"]}, "null character"),
    ({"script": "echo.py", "command": "id"}, "don't fit its schema"),
]


@pytest.mark.parametrize(("arguments", "told"), REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused(root: Path, arguments: dict[str, Any], told: str) -> None:
    given = dict(arguments)
    result = await called(skill(root), given.pop("script"), **given)
    assert result.is_error
    assert told in result.text


async def test_a_script_that_became_a_link_is_not_run(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("print('hunter2')")
    (root / "scripts" / "echo.py").unlink()
    (root / "scripts" / "echo.py").symlink_to(tmp_path / "other.py")
    result = await called(skill(root), "scripts/echo.py")
    assert "leads out of the skill" in result.text


async def test_a_script_to_be_asked_for_waits_for_its_user(project: Path) -> None:
    text = (project / "agents" / "a.yaml").read_text()
    (project / "agents" / "a.yaml").write_text(text.replace("sandbox", "ask"))
    wanted = {"skill": "tidy", "script": "scripts/guide.sh"}
    model = ScriptedModel(calls(("run_skill_script", wanted)), says("Be tidy."))
    compiled = compile_agents(Project.at(project)).checked()
    async with Runtime(compiled, models={"scripted": lambda *_: model}) as runtime:
        first = await play(runtime, "a")
        assert not [e for e in first if isinstance(e, ToolStarted)]
        (asked,) = end(first).approvals
        assert asked.call.name == "run_skill_script"
        second = await play(runtime, "a", said(end(first), True))
    (done,) = [e for e in second if isinstance(e, ToolFinished)]
    assert done.result.text.startswith("be tidy\n")


@pytest.fixture
def project(root: Path) -> Path:
    project = root.parent
    (project / "agents").mkdir()
    (project / "skills").mkdir()
    root.rename(project / "skills" / "tidy")
    fields = "name: tidy\ndescription: Tidies.\nallowed-tools: Bash\n"
    text = f"---\n{fields}---\nRun scripts/guide.sh.\n"
    (project / "skills" / "tidy" / "SKILL.md").write_text(text)
    (project / "agents" / "a.yaml").write_text(
        "model: scripted/model\ninstructions: Hi.\n"
        "skills: [{name: tidy, scripts: sandbox, strict: false}]\n"
    )
    return project


async def test_an_agent_runs_a_script_of_its_skill(project: Path) -> None:
    compiled = compile_agents(Project.at(project))
    assert compiled.diagnostics == ()
    wanted = {"skill": "tidy", "script": "scripts/guide.sh"}
    model = ScriptedModel(calls(("run_skill_script", wanted)), says("Be tidy."))
    async with Runtime(compiled.checked(), models={"scripted": lambda *_: model}) as runtime:
        runtime.warm()
        events = [e async for e in runtime.run("a", [Message("user", "How?")])]
    (done,) = [e for e in events if isinstance(e, ToolFinished)]
    assert done.result.text.startswith("be tidy\n")


async def test_a_script_has_no_more_time_than_the_run(root: Path) -> None:
    (root / "scripts" / "quiet.py").write_text("import time; time.sleep(60)")
    toolbox = AgentToolbox([], script_tool([skill(root)]))
    wanted = ToolCall("c1", "run_skill_script", '{"skill": "tidy", "script": "quiet.py"}')
    result = await toolbox.call(wanted, run_context(timeout=1.5))
    assert "[the script was ended: it took longer than 1." in result.text
