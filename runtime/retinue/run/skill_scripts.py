"""Skills with scripts → `run_skill_script`, which runs one in a sandbox and tells of its end."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retinue.agent import Skill
from retinue.diagnostics import did_you_mean
from retinue.errors import ToolError
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.ports import Tool
from retinue.run.sandbox.interpreters import PATH, command
from retinue.run.sandbox.plan import Bounds, Plan
from retinue.run.sandbox.process import KEPT, Outcome, Output, run
from retinue.run.sandbox.scratch import Written, scratch_folder, written
from retinue.run.skill_files import inside
from retinue.run.toolbox import Arguments, BuiltIn
from retinue.values import JsonValue

_FOLDER = "scripts/"
_MOST_ARGUMENTS = 100
# Characters of all arguments, and of the input.
_LONGEST_ARGUMENTS = 16_000
_LONGEST_INPUT = 1_000_000
# Characters of each of a script's outputs that a model is shown.
_LONGEST_OUTPUT = 30_000
# Scripts that run at the same time for one agent.
_MOST_AT_ONCE = 4
_LEAST_SECONDS = 1.0
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def script_tool(
    skills: Sequence[Skill], *, listed: bool = True, bounds: Bounds | None = None
) -> tuple[BuiltIn, ...]:
    """`run_skill_script` over the skills whose scripts may be run; none without such.

    Its schema names them where they are `listed` in the prompt too.
    """
    able = {skill.name: skill for skill in skills if may_run(skill)}
    if not able:
        return ()
    turns = asyncio.Semaphore(_MOST_AT_ONCE)
    most = bounds or Bounds()

    async def call(arguments: Arguments, context: RunContext) -> ToolResult:
        skill = able.get(str(arguments["skill"]))
        if skill is None:
            raise ToolError(f"No script of the skill '{arguments['skill']}' may be run.")
        script = _script(skill, str(arguments["script"]))
        async with turns:
            left = context.budget.end - asyncio.get_running_loop().time()
            seconds = min(most.seconds, max(_LEAST_SECONDS, left))
            return await _run(skill, script, arguments, most._replace(seconds=seconds))

    def asks(arguments: Arguments) -> bool:
        skill = able.get(str(arguments["skill"]))
        return skill is not None and skill.scripts == "ask"

    return (BuiltIn(_tool(list(able) if listed else None), call, asks),)


def may_run(skill: Skill) -> bool:
    """Whether it has scripts that may be run, asked for or not."""
    return skill.scripts != "off" and bool(_scripts(skill))


def _scripts(skill: Skill) -> list[str]:
    return [file.path for file in skill.files if file.path.startswith(_FOLDER)]


def _script(skill: Skill, asked: str) -> Path:
    """The file of one of the skill's scripts. Raises ToolError."""
    known = _scripts(skill)
    path = next((one for one in known if one in (asked, f"{_FOLDER}{asked}")), None)
    if path is None:
        hint = did_you_mean(asked[:200], known) or f"its scripts are: {', '.join(known[:20])}"
        raise ToolError(f"The skill '{skill.name}' has no script '{asked[:200]}': {hint}")
    root, parts = inside(skill, path)
    return root.joinpath(*parts)


async def _run(skill: Skill, script: Path, arguments: Arguments, bounds: Bounds) -> ToolResult:
    how = command(script)
    root = str(skill.root.resolve())
    async with scratch_folder() as folder:
        plan = Plan(
            argv=(*how.argv, *_argv(arguments)),
            env={
                "PATH": PATH,
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "LANG": "C.UTF-8",
                "SKILL_DIR": root,
            },
            folder=str(folder),
            readable=(*how.readable, root),
            strict=skill.strict,
            address_space=how.address_space,
            bounds=bounds,
        )
        outcome = await run(plan, str(arguments.get("stdin") or "").encode(errors="replace"))
        files, more = await asyncio.to_thread(written, folder)
    return ToolResult(
        _told(outcome, files, more),
        is_error=outcome.why is not None or outcome.code != 0,
        structured=_structured(outcome, files, more),
    )


def _argv(arguments: Arguments) -> list[str]:
    given = arguments.get("args")
    args = [str(one) for one in given] if isinstance(given, list) else []
    if sum(map(len, args)) > _LONGEST_ARGUMENTS:
        raise ToolError(f"The arguments are too long: {_LONGEST_ARGUMENTS:,} characters at most.")
    if any("\0" in one for one in args):
        raise ToolError("An argument can't hold a null character.")
    return [one.encode(errors="replace").decode() for one in args]


def _told(outcome: Outcome, files: Sequence[Written], more: int) -> str:
    """What the model reads: the output, then how it ended unless well, then what was written."""
    parts = [_shown(outcome.stdout)]
    if outcome.stderr.size:
        parts.append(f"[stderr]\n{_shown(outcome.stderr)}")
    if outcome.why:
        parts.append(f"[the script was ended: {outcome.why}]")
    elif outcome.code:
        parts.append(f"[the script ended with {_ending(outcome.code)}]")
    missing = _NO_MODULE.search(outcome.stderr.text)
    if missing:
        module = missing[1].partition(".")[0]
        parts.append(f"[the package '{module}' isn't installed with this agent, nor can it be]")
    parts += [_file(file) for file in files]
    if more:
        parts.append(f"[{more:,} more files]")
    if files:
        parts.append("[the files are gone with the script: print what is needed of them]")
    return "\n".join(part for part in parts if part) or "[the script printed nothing]"


def _shown(output: Output) -> str:
    text = output.text[:_LONGEST_OUTPUT].rstrip("\n")
    cut = len(output.text) > _LONGEST_OUTPUT or output.size > KEPT
    return f"{text}\n[cut: {output.size:,} bytes in all]" if cut else text


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"


def _file(file: Written) -> str:
    name = "".join(c if c.isprintable() else "?" for c in file.path[:300])
    head = f"[wrote {name}, {file.size:,} bytes]"
    return f"{head}\n{file.text.rstrip()}" if file.text else head


def _structured(outcome: Outcome, files: Sequence[Written], more: int) -> JsonValue:
    """The same for programs, and what the sandbox lacked."""
    return {
        "exit_code": outcome.code,
        "ended": outcome.why,
        "seconds": round(outcome.seconds, 3),
        "files": [
            {"path": file.path.encode(errors="replace").decode(), "bytes": file.size}
            for file in files
        ],
        "more_files": more,
        "missing_layers": dict(outcome.missing),
    }


def _tool(names: list[str] | None) -> Tool:
    enum = {"enum": names} if names else {}
    properties: dict[str, Any] = {
        "skill": {"type": "string", "description": "The skill.", **enum},
        "script": {
            "type": "string",
            "description": "The script's path in the skill's folder, such as scripts/run.py.",
        },
        "args": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": _MOST_ARGUMENTS,
            "description": "Its arguments, one by one: there is no shell.",
        },
        "stdin": {
            "type": "string",
            "maxLength": _LONGEST_INPUT,
            "description": "What it reads on its standard input.",
        },
    }
    return Tool(
        "run_skill_script",
        "Run a script of a skill, as its instructions say. It has no network, sees only the "
        "skill's folder ($SKILL_DIR), and starts in an empty folder that is deleted at its end.",
        {
            "type": "object",
            "properties": properties,
            "required": ["skill", "script"],
            "additionalProperties": False,
        },
    )
