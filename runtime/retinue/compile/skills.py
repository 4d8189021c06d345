"""A folder by the Agent Skills specification (https://agentskills.io/specification) → a Skill.

Lenient where hosts are lenient (a warning), strict where it is unsafe or useless: a link that
leads out of the folder is never followed, and a skill without a description can't be chosen.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from retinue.agent import Skill, SkillFile
from retinue.compile.document import FRONTMATTER, parse
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report, quoted, split_lines
from retinue.compile.source_text import blanked, decode
from retinue.compile.tree import INVALID, Node
from retinue.diagnostics import Location
from retinue.errors import ProjectError

MAX_SKILL_BYTES = 1_048_576
"""Size of SKILL.md."""

MAX_FILES = 2_000
MAX_LEVELS = 16
MAX_TOTAL_BYTES = 64 * 1_048_576

_MAX_FRONTMATTER = 65_536
_MAX_NAME = 64
_MAX_DESCRIPTION = 1024
_MAX_COMPATIBILITY = 500
_SKIPPED = frozenset({".git", "node_modules", "__pycache__"})
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PLAIN = re.compile(r"([A-Za-z_][\w-]*):[ \t]+(?![|>][-+0-9]*[ \t]*$)(\S.*)")
_TABS = re.compile(r"^[ \t]*\t")
_WHOLE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|\[.*\]|\{.*\}")
_FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")


def load_skill(name: str, reader: Reader, report: Report) -> tuple[Skill, tuple[str, ...]] | None:
    """The skill in `skills/<name>` and the paths of its files, SKILL.md first, or None with the
    reason in the report. Raises nothing, whatever the folder holds.
    """
    folder = f"skills/{name}"
    try:
        root = reader.project.skill_folder(name)
        file = _skill_file(root)
    except (ProjectError, OSError) as error:
        report.error(Location(folder), _reason(error), "skill-unreadable")
        return None
    if file is None:
        report.error(Location(folder), "the folder has no SKILL.md", "skill-without-file")
        return None
    path = f"{folder}/{file}"
    if file != "SKILL.md":
        report.warning(Location(path), "the file's name must be SKILL.md", "skill-file-name")
    manifest = _read(path, reader, report)
    if manifest is None:
        return None
    files = _Listing(root, folder, report).files()
    description = _checked(name, manifest, report)
    if files is None or description is None:
        return None
    skill = Skill(name=name, description=description, body=manifest.body, root=root, files=files)
    return skill, (path, *(f"{folder}/{file.path}" for file in files))


def _skill_file(root: Path) -> str | None:
    names = [entry.name for entry in os.scandir(root) if entry.name.lower() == "skill.md"]
    return "SKILL.md" if "SKILL.md" in names else min(names, default=None)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the folder can't be read: {(error.strerror or 'unknown error').lower()}"
    return str(error)


@dataclass(frozen=True, slots=True)
class _Manifest:
    """SKILL.md: its frontmatter as a tree, and the text after it."""

    path: str
    fields: Node
    body: str


def _read(path: str, reader: Reader, report: Report) -> _Manifest | None:
    try:
        data = reader.read(path, MAX_SKILL_BYTES)
    except ReadError as error:
        report.error(Location(path), str(error), error.code)
        return None
    text = decode(path, data, report)
    if text is None:
        return None
    lines = split_lines(text)
    report.add_lines(path, lines)
    start, end = _fences(lines)
    if start is None or end is None:
        opened = "the frontmatter that opens here is never closed"
        message = "the file does not start with frontmatter" if start is None else opened
        hint = "start it with '---', name and description, and another '---'"
        place = Location(path, 1 + (start or 0))
        report.error(place, message, "skill-without-frontmatter", hint)
        return None
    # What comes before becomes empty lines: places are then the file's own.
    fields = _frontmatter(path, [""] * (start + 1) + lines[start + 1 : end], report)
    body = blanked("\n".join(lines[end + 1 :])).strip("\n")
    return _Manifest(path, fields, body) if fields else None


def _fences(lines: list[str]) -> tuple[int | None, int | None]:
    """The indices of the opening and closing fence, each on a line of its own, or None for one
    that isn't there; blank lines may come before.
    """
    filled = next((n for n, line in enumerate(lines) if line.strip()), 0)
    fences = (n for n, line in enumerate(lines[filled:], filled) if line.rstrip(" \t") == "---")
    start, end = next(fences, None), next(fences, None)
    return (filled, end) if start == filled else (None, None)


def _frontmatter(path: str, lines: list[str], report: Report) -> Node | None:
    """The fields, all text; values that YAML misreads for want of quotes are read as meant."""
    text = "\n".join([*(blanked(line) for line in lines), ""])
    if len(text) > _MAX_FRONTMATTER:
        message = f"the frontmatter has more than {_MAX_FRONTMATTER:,} characters"
        report.error(Location(path), message, "too-large")
        return None
    first = _attempt(path, text, report)
    if first.fields is not None:
        first.tell_as_warnings(report)
        return first.fields
    if first.too_much:
        first.tell(report)
        return None
    lines = _with_quotes([_TABS.sub(_spaces, line) for line in text.split("\n")])
    second = _attempt(path, "\n".join(lines), report)
    if second.fields is None:
        first.tell(report)
        return None
    second.tell_as_warnings(report)
    first.tell_as_warnings(report)
    return second.fields


def _spaces(indentation: re.Match[str]) -> str:
    return " " * len(indentation[0])


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One reading of the frontmatter and what was said of it."""

    fields: Node | None
    report: Report

    @property
    def too_much(self) -> bool:
        """Whether it was given up for its size: quotes would not make it right."""
        return any(d.code in ("too-deep", "too-many-values") for d in self.report.diagnostics())

    def tell(self, report: Report) -> None:
        for diagnostic in self.report.diagnostics():
            report.add(diagnostic)

    def tell_as_warnings(self, report: Report) -> None:
        for diagnostic in self.report.diagnostics():
            report.add(replace(diagnostic, severity="warning"))


def _attempt(path: str, text: str, report: Report) -> _Attempt:
    own = report.sibling()
    document = parse(path, text, own, FRONTMATTER)
    if document is None:
        return _Attempt(None, own)
    root = document.root
    if not isinstance(root.value, dict):
        own.error(root.place, "the frontmatter holds no fields", "skill-without-frontmatter")
        return _Attempt(None, own)
    return _Attempt(root, own)


def _with_quotes(lines: list[str]) -> list[str]:
    """The lines with quotes around values, as many of them, that YAML reads as text at most by
    chance. A value's further lines join its first, and leave empty lines.
    """
    quoted_lines: list[str] = []
    at = 0
    while at < len(lines):
        match = _PLAIN.fullmatch(lines[at])
        after = at + 1
        while match and after < len(lines) and lines[after][:1] in (" ", "\t"):
            after += 1
        own = lines[at:after]
        value = " ".join([match[2], *own[1:]]).strip() if match else ""
        if match and _is_text(value):
            escaped = " ".join(value.split()).replace("'", "''")
            own = [f"{match[1]}: '{escaped}'", *[""] * (len(own) - 1)]
        quoted_lines += own
        at = after
    return quoted_lines


def _is_text(value: str) -> bool:
    """Whether a value is meant as text although it may start like a string, list or object."""
    closing = {'"': '"', "'": "'", "[": "]", "{": "}"}.get(value[0], "")
    return closing in value[1:] and not _WHOLE.fullmatch(value)


def _checked(name: str, manifest: _Manifest, report: Report) -> str | None:
    """The description; what else is not by the specification is a warning."""
    fields = manifest.fields
    readable = _check_name(name, fields, report)
    unknown = [key for key in fields.entries if key not in _FIELDS]
    if unknown:
        listed = ", ".join(quoted(key)[1:-1] for key in unknown[:5])
        message = f"fields that the specification does not have: {listed}"
        report.warning(fields.key((unknown[0],)), message, "skill-field", _METADATA)
    for key in ("license", "compatibility", "allowed-tools"):
        node = fields.child(key)
        if node and node.value is not INVALID and not isinstance(node.value, str):
            report.warning(node.place, f"'{key}' must be text", "skill-field")
    _check_compatibility(fields, report)
    _check_tools(fields, report)
    _check_metadata(fields, report)
    description = _description(manifest, report)
    return description if readable else None


def _check_compatibility(fields: Node, report: Report) -> None:
    node = fields.child("compatibility")
    if node and isinstance(node.value, str) and len(node.value) > _MAX_COMPATIBILITY:
        message = f"'compatibility' has {len(node.value)} characters; the specification allows 500"
        report.warning(node.place, message, "skill-field")


def _check_tools(fields: Node, report: Report) -> None:
    node = fields.child("allowed-tools")
    if node and isinstance(node.value, str) and re.search(r",\s", node.value):
        message = "'allowed-tools' is separated by commas"
        report.warning(node.place, message, "skill-field", "put spaces between the tools")


def _check_metadata(fields: Node, report: Report) -> None:
    node = fields.child("metadata")
    if node is None:
        return
    values = [(e.key, e.node.value) for e in node.entries.values()]
    nested = [place for place, value in values if isinstance(value, dict | list)]
    if nested or not isinstance(node.value, dict):
        place = nested[0] if nested else node.place
        report.warning(place, "'metadata' must map keys to texts", "skill-field")


_METADATA = "put fields of your own under 'metadata'"


def _check_name(name: str, fields: Node, report: Report) -> bool:
    """Whether the name can be read: whatever it is then, the folder's is used."""
    node = fields.child("name")
    place = node.place if node else fields.place
    written = node.value if node else ""
    if not isinstance(written, str):
        hint = f"write 'name: {name}'"
        report.error(place, "the skill's name must be text", "skill-name", hint)
        return False
    given = written.strip()
    if not given:
        report.warning(place, f"the skill has no name; '{name}' is used", "skill-name")
        return True
    if given != name:
        message = (
            f"the skill's name is {quoted(given)}, its folder's '{name}'; the folder's is used"
        )
        report.warning(place, message, "skill-name")
    if not _NAME.fullmatch(given) or len(given) > _MAX_NAME:
        message = f"{quoted(given)} is no skill's name: a-z, 0-9 and single hyphens, at most 64"
        report.warning(place, message, "skill-name")
    return True


def _description(manifest: _Manifest, report: Report) -> str | None:
    node = manifest.fields.child("description")
    place = node.place if node else manifest.fields.place
    written = node.value if node else ""
    text = " ".join(blanked(written).split()) if isinstance(written, str) else ""
    if not text:
        hint = "say in a sentence what the skill does and when to use it"
        message = "the skill has no description"
        if not isinstance(written, str):
            message, hint = "the skill's description must be text", "put it in quotes"
        report.error(place, message, "skill-without-description", hint)
        return None
    if len(text) > _MAX_DESCRIPTION:
        message = f"the description has {len(text)} characters; the specification allows 1024"
        report.warning(place, message, "skill-description")
    return text


@dataclass(slots=True)
class _Listing:
    """Walks a skill's folder without following links to folders or out of it."""

    root: Path
    shown: str
    report: Report
    found: list[SkillFile] = field(default_factory=list)
    total: int = 0
    folders: int = 0

    def files(self) -> tuple[SkillFile, ...] | None:
        """Every regular file, sorted; None with the reason in the report where there are too
        many, or they are too large.
        """
        for file in self._walk(self.root, 0):
            self.found.append(file)
            self.total += file.size
            if len(self.found) > MAX_FILES or self.total > MAX_TOTAL_BYTES:
                self._too_large()
                return None
        return tuple(sorted(self.found, key=lambda file: file.path))

    def _walk(self, folder: Path, level: int) -> Iterator[SkillFile]:
        self.folders += 1
        if level > MAX_LEVELS or self.folders > MAX_FILES:
            self._warn(folder, "the folder is left out: there are too many", "skill-too-large")
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._warn(folder, _reason(error), "skill-unreadable")
            return
        for entry in entries:
            if entry.name in _SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), level + 1)
            elif file := self._file(entry):
                yield file

    def _file(self, entry: os.DirEntry[str]) -> SkillFile | None:
        path = Path(entry.path)
        try:
            entry.name.encode()
            if entry.is_symlink() and not _stays(path, self.root):
                self._warn(
                    path, "the link is not followed: only links to files inside", "skill-link"
                )
                return None
            if not entry.is_file():
                return None
            relative = path.relative_to(self.root).as_posix()
            return SkillFile(path=relative, size=entry.stat().st_size)
        except UnicodeEncodeError:
            self._warn(path.parent, "a file's name is not UTF-8: it is left out", "skill-file-name")
        except OSError as error:
            self._warn(path, _reason(error), "skill-unreadable")
        return None

    def _warn(self, path: Path, message: str, code: str) -> None:
        relative = path.relative_to(self.root).as_posix().encode(errors="replace").decode()
        place = self.shown if relative == "." else f"{self.shown}/{relative}"
        self.report.warning(Location(place), message, code)

    def _too_large(self) -> None:
        self.report.error(
            Location(self.shown),
            f"the skill has more than {MAX_FILES:,} files or {MAX_TOTAL_BYTES // 1_048_576} MB",
            "skill-too-large",
        )


def _stays(link: Path, root: Path) -> bool:
    """Whether a link leads to a file inside the folder."""
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return False
    return target.is_relative_to(root) and target.is_file()
