"""codes.md and the cases → a Markdown section for every code, with an example and its output."""

from itertools import groupby

from cases import FOLDER, Case, Entry, expanded, read

from retinue.compile.codes import Code, codes

ONLINE = "online-"
"""What codes start with that no file alone brings about: they have no example."""

_MOST_LINES = 12
_WIDEST = 100
_LANGUAGES = {"yaml": "yaml", "yml": "yaml", "md": "markdown", "j2": "jinja"}


def sections() -> str:
    """A list of all codes by group, then their sections."""
    grouped = [(name, list(found)) for name, found in groupby(codes().values(), lambda c: c.group)]
    contents = [
        f"- {name}: {', '.join(f'[`{c.name}`](#{c.name})' for c in found)}"
        for name, found in grouped
    ]
    parts = ["\n".join(contents)]
    for name, found in grouped:
        parts += [f"## {name}", *map(_section, found)]
    return "\n\n".join(parts)


def _section(code: Code) -> str:
    if code.name.startswith(ONLINE):
        return f"### `{code.name}`\n\n{code.text}"
    case = read(FOLDER / f"{code.name}.txt")
    said = (FOLDER / f"{code.name}.out").read_text(encoding="utf-8")
    blocks = [block for block in said.strip("\n").split("\n\n") if f"[{code.name}]" in block]
    shown = [*_command(case), *map(_entry, case.entries), f"```text\n{blocks[0]}\n```"]
    return "\n\n".join([f"### `{code.name}`", code.text, *shown])


def _command(case: Case) -> list[str]:
    return [f"```sh\n{case.command.removeprefix('$ ')}\n```"] if case.target else []


def _entry(entry: Entry) -> str:
    if entry.link:
        return f"`{entry.path}` is a link to `{entry.link}`."
    if entry.pipe:
        return f"`{entry.path}` is a named pipe."
    if entry.times:
        many = f"There are {entry.times:,} files `{entry.path.replace('{n}', 'N')}`"
        text = entry.text.strip().replace("{n+1}", "N+1")
        return f"{many}, each with `{text}`." if text else f"{many}."
    if not entry.text:
        return f"`{entry.path}` is empty."
    language = _LANGUAGES.get(entry.path.rpartition(".")[2], "text")
    return f"`{entry.path}`:\n\n````{language}\n{_excerpt(entry.text)}\n````"


def _excerpt(text: str) -> str:
    lines = [_line(line) for line in expanded(text).rstrip("\n").split("\n")]
    if len(lines) > _MOST_LINES:
        rest = len(lines) - _MOST_LINES + 2
        lines = [*lines[: _MOST_LINES - 2], f"… {rest - 1} more lines …", lines[-1]]
    return "\n".join(lines)


def _line(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…"
