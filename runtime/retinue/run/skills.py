"""Skills → a catalogue for the system prompt and two tools that read what it names."""

import asyncio
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from retinue.agent import Skill
from retinue.diagnostics import did_you_mean
from retinue.errors import ToolError
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.ports import Tool
from retinue.run.skill_files import file_text
from retinue.run.skill_scripts import may_run, script_tool
from retinue.run.skill_search import search_tool
from retinue.run.toolbox import Arguments, BuiltIn
from retinue.values import JsonValue

# Characters of the catalogue, as other hosts of Agent Skills allow.
BUDGET = 8_000
_SHORTEST_DESCRIPTION = 40
# Of a skill that was searched for.
_FOUND_DESCRIPTION = 500
_MOST_FILES = 100
# Characters of a file read at once.
_PAGE = 40_000


def skill_tools(skills: Sequence[Skill], budget: int = BUDGET) -> tuple[BuiltIn, ...]:
    """`load_skill`, `read_skill_file` and `run_skill_script`, as far as scripts may be run, over
    exactly these skills; none without skills.

    Where they don't fit the catalogue's budget, `search_skills` comes first, and the tools'
    schemas don't name them either.
    """
    if not skills:
        return ()
    by_name = {skill.name: skill for skill in skills}
    entries = _cleaned(skills)
    listed = _fits(entries, budget)

    async def load(arguments: Arguments, _: RunContext) -> ToolResult:
        return ToolResult(_loaded(_named(by_name, arguments["name"])))

    async def read(arguments: Arguments, _: RunContext) -> ToolResult:
        skill = _named(by_name, arguments["skill"])
        # In a thread: a slow disk must not hold up other runs.
        text = await asyncio.to_thread(file_text, skill, str(arguments["path"]))
        return ToolResult(_page(text, arguments))

    names = list(by_name) if listed else None
    tools: tuple[BuiltIn, ...] = (
        BuiltIn(_load_skill(names), load),
        BuiltIn(_read_skill_file(names), read),
    )
    tools += script_tool(skills, listed=listed)
    if listed:
        return tools
    shown = [_line(entry, _FOUND_DESCRIPTION) for entry in entries]
    return search_tool(list(zip(skills, shown, strict=True))), *tools


def catalogue(skills: Sequence[Skill], budget: int = BUDGET) -> str:
    """The `<available_skills>` block, in the order given; empty without skills.

    Over the budget, in characters, descriptions are shortened first, all to the same length.
    If that isn't enough, the first skills are shown, and the others are for `search_skills`.
    """
    if not skills:
        return ""
    cleaned = _cleaned(skills)
    if not _fits(cleaned, budget):
        return _beginning(cleaned, budget)
    low = _SHORTEST_DESCRIPTION
    high = max(low, *(len(description) for _, description in cleaned))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_block(cleaned, middle)) <= budget else (low, middle - 1)
    return _block(cleaned, low)


_Entry = tuple[str, str]
"""A skill's name and description, fit to be shown."""


def _cleaned(skills: Sequence[Skill]) -> list[_Entry]:
    return [(_clean(skill.name), _clean(skill.description)) for skill in skills]


def _fits(entries: Sequence[_Entry], budget: int) -> bool:
    """Whether all can be shown, however shortened."""
    return len(_block(entries, _SHORTEST_DESCRIPTION)) <= budget


def _beginning(entries: Sequence[_Entry], budget: int) -> str:
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(_partial(entries, middle)) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return _partial(entries, low)


def _partial(entries: Sequence[_Entry], kept: int) -> str:
    left = len(entries) - kept
    note = f"<not_listed>{left:,} more: find them with search_skills</not_listed>"
    return _block(entries[:kept], _SHORTEST_DESCRIPTION, note)


def _block(entries: Sequence[_Entry], longest: int, note: str = "") -> str:
    lines = [_line(entry, longest) for entry in entries]
    return "\n".join(["<available_skills>", *lines, *([note] if note else []), _END])


def _line(entry: _Entry, longest: int) -> str:
    name, description = escape(entry[0]), escape(_shortened(entry[1], longest))
    return f"<skill><name>{name}</name><description>{description}</description></skill>"


_END = "</available_skills>"


def _clean(text: str) -> str:
    """One line, without control characters and without what could pass for markup's frame."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _load_skill(names: list[str] | None) -> Tool:
    return Tool(
        "load_skill",
        "Read a skill's instructions. Do so before a task that its description fits.",
        _object({"name": _choice(names, "The skill, as named in available_skills.")}, "name"),
        reads=True,
    )


def _read_skill_file(names: list[str] | None) -> Tool:
    properties: dict[str, Any] = {
        "skill": _choice(names, "The skill the file belongs to."),
        "path": {
            "type": "string",
            "description": "The file's path relative to the skill's folder.",
        },
        "offset": {
            "type": "integer",
            "minimum": 0,
            "description": "The character to start at; 0 by default.",
        },
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": _PAGE,
            "description": f"How many characters to read; {_PAGE} by default.",
        },
    }
    return Tool(
        "read_skill_file",
        "Read a text file of a skill, such as a reference its instructions mention.",
        _object(properties, "skill", "path"),
        reads=True,
    )


def _choice(names: list[str] | None, description: str) -> dict[str, JsonValue]:
    """A skill's name; without `names` any text, which is looked up when it is used."""
    choice: dict[str, JsonValue] = {"type": "string", "description": description}
    return choice if names is None else {**choice, "enum": list(names)}


def _object(properties: dict[str, Any], *required: str) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _named(skills: dict[str, Skill], name: JsonValue) -> Skill:
    skill = skills.get(str(name))
    if skill is None:
        hint = did_you_mean(str(name), list(skills))
        raise ToolError(f"There is no skill '{name}'" + (f": {hint}" if hint else "."))
    return skill


def _loaded(skill: Skill) -> str:
    body = skill.body.strip()
    lines = [f"<skill_content name={quoteattr(skill.name)}>", body[:_PAGE]]
    if len(body) > _PAGE:
        # Its frontmatter, which isn't in the body, makes this a little early: nothing is left out.
        lines.append(f"[cut: read SKILL.md with read_skill_file from offset {_PAGE}]")
    lines.append("")
    if skill.files:
        shown = skill.files[:_MOST_FILES]
        lines.append("<skill_files>")
        lines += [f"{escape(_clean(file.path))} ({file.size:,} bytes)" for file in shown]
        if len(skill.files) > len(shown):
            lines.append(f"… and {len(skill.files) - len(shown):,} more")
        lines += ["</skill_files>", "Read them with read_skill_file."]
        if may_run(skill):
            lines.append("Run those under scripts/ with run_skill_script.")
        lines.append("")
    return "\n".join([*lines[:-1], "</skill_content>"])


def _page(text: str, arguments: Arguments) -> str:
    offset, limit = _whole(arguments, "offset", 0), _whole(arguments, "limit", _PAGE)
    page = text[offset : offset + limit]
    if offset and not page:
        return f"[the file has {len(text):,} characters; offset {offset:,} is past its end]"
    left = len(text) - offset - len(page)
    if left:
        page += f"\n[{left:,} characters are left; go on with offset {offset + len(page)}]"
    return page


def _whole(arguments: Arguments, name: str, default: int) -> int:
    # JSON Schema counts 5.0 as an integer.
    value = arguments.get(name)
    return int(value) if isinstance(value, int | float) else default
