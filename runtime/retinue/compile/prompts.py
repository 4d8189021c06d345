"""A prompt's Jinja2 source → the names that it reads, and what is wrong with it."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from jinja2 import TemplateSyntaxError, nodes
from jinja2.filters import FILTERS as JINJA_FILTERS

from retinue.compile.report import MAX_PER_FILE, Report, quoted
from retinue.compile.sandbox import (
    FILTERS,
    PromptEnvironment,
)
from retinue.diagnostics import Location, did_you_mean

MAX_PROMPT_BYTES = 128_000
MAX_INCLUDES = 100
_MAX_LEVELS = 60
_MAX_LOOPS = 8

_MARKER = re.compile(r"\{\{|\{%|\{#")
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.AssignBlock: "set … endset",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
}
_JINJA_GLOBALS = ("range", "dict", "lipsum", "cycler", "joiner", "namespace")
_SOURCES = ("request", "user", "clock", "env")


def is_template(text: str) -> bool:
    """Whether the text means anything to Jinja2."""
    return _MARKER.search(text) is not None


@dataclass(frozen=True, slots=True)
class PromptText:
    """A prompt's source and where it stands: `place(offset, width)` is a token's location."""

    text: str
    place: Callable[[int, int], Location]

    def line(self, number: int) -> Location:
        """The place of a line's content."""
        lines = self.text.split("\n")
        number = min(max(number, 1), len(lines))
        content = lines[number - 1].strip()
        start = sum(len(line) + 1 for line in lines[: number - 1])
        indent = len(lines[number - 1]) - len(lines[number - 1].lstrip())
        return self.place(start + indent if content else start, max(1, len(content)))


Include = Callable[[str, Location], PromptText | None]
"""A name and the place that asks for it → the source, or None with the reason in the report."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name that a template reads and doesn't define, and where its token stands in the text."""

    name: str
    prompt: PromptText
    offset: int

    @property
    def place(self) -> Location:
        return self.prompt.place(self.offset, len(self.name))


@dataclass(slots=True)
class PromptCheck:
    """What is wrong with a template, and the sources that it includes."""

    report: Report
    include: Include
    includes: dict[str, str] = field(default_factory=dict)
    failed: bool = False
    _known: dict[str, list[Use]] = field(default_factory=dict)
    _stack: list[str] = field(default_factory=list)
    _environment: PromptEnvironment = field(default_factory=lambda: PromptEnvironment({}))

    def uses(self, prompt: PromptText) -> list[Use]:
        """The variables that the template and what it includes read, in order of appearance.

        Syntax errors, unknown filters and whatever prompts can't do are reported on the way.
        """
        text = prompt.text.replace("\r\n", "\n")
        prompt = PromptText(text, prompt.place)
        try:
            tree = self._environment.parse(text)
        except TemplateSyntaxError as error:
            self._syntax(prompt, error)
            return []
        except RecursionError:
            self.failed = True
            self.report.error(prompt.line(1), "the prompt is nested too deeply", "prompt-too-deep")
            return []
        walk = _Walk(self, prompt, self._environment)
        walk.block(tree.body, set(), _Depth())
        self.failed = self.failed or walk.errors > 0
        return list(walk.found.values())

    def included(self, name: str, place: Location) -> list[Use]:
        """The variables that an included file reads."""
        if name in self._stack:
            path = " → ".join([*self._stack[self._stack.index(name) :], name])
            self.report.error(place, f"the prompt includes itself: {path}", "include-cycle")
            return []
        if name not in self._known:
            self._known[name] = []  # counted from now on
            self._known[name] = self._read(name, place)
        return self._known[name]

    def _read(self, name: str, place: Location) -> list[Use]:
        if len(self._known) > MAX_INCLUDES:
            message = f"a prompt includes at most {MAX_INCLUDES} files"
            self.report.error(place, message, "too-many-includes")
            return []
        source = self.include(name, place)
        if source is None:
            self.failed = True
            return []
        self.includes[name] = source.text
        self._stack.append(name)
        try:
            return self.uses(source)
        finally:
            self._stack.pop()

    def _syntax(self, prompt: PromptText, error: TemplateSyntaxError) -> None:
        self.failed = True
        said = error.message or "this is not valid Jinja2"
        message, hint = _sentence(said)
        place = _culprit(prompt, error.lineno, said) or prompt.line(error.lineno)
        if opened := _UNCLOSED.search(said):
            place = _opening(self._environment, prompt, opened[1]) or place
        self.report.error(place, message, "prompt-syntax", hint)


_TOKENS = {
    "end of print statement": "}}",
    "end of statement block": "%}",
    "begin of print statement": "{{",
    "begin of statement block": "{%",
}
_UNCLOSED = re.compile(r"^Unexpected end of template.*needs to be closed is '(\w+)'")
_UNKNOWN_TAG = re.compile(r"^Encountered unknown tag '(\w+)'")
_INNERMOST = re.compile(r"needs to be closed is '(\w+)'")
_AT = re.compile(r"at (\d+)$")
_GOT = re.compile(r"(?:got|unknown tag|[Uu]nexpected) '([^']+)'")
_ODD = re.compile(r"^unexpected char '(.)'")
_INSTEAD = {"&": "write 'and'", "!": "write 'not'", "?": "write 'x if y else z'"}
_TAGS = ("if", "elif", "else", "for", "set", "with", "include", "raw")
_RAW = "for literal braces write {% raw %}…{% endraw %}"


def _sentence(message: str) -> tuple[str, str | None]:
    """Jinja2's words as one lowercase sentence, and a hint."""
    first = message.split(". ", maxsplit=1)[0].rstrip(".")
    for name, token in _TOKENS.items():
        first = first.replace(name, token)
    first = re.sub(r" at \d+$", "", first[:1].lower() + first[1:])
    if "end of comment" in message:
        return first, "{# starts a comment: " + _RAW
    if unknown := _UNKNOWN_TAG.search(message):
        return _tag_sentence(unknown[1], _INNERMOST.search(message))
    if missing := _UNCLOSED.search(message):
        return f"'{missing[1]}' is never closed", f"add {{% end{missing[1]} %}}"
    if odd := _ODD.search(message):
        return first, _INSTEAD.get(odd[1], _RAW)
    return first, None


def _tag_sentence(tag: str, innermost: re.Match[str] | None) -> tuple[str, str | None]:
    if not tag.startswith("end"):
        return f"there is no tag '{tag}'", did_you_mean(tag, _TAGS)
    if innermost:
        message = f"'{tag}' closes nothing: '{innermost[1]}' is open"
        return message, f"close it with {{% end{innermost[1]} %}}"
    return f"'{tag}' closes nothing", "remove it"


def _culprit(prompt: PromptText, number: int, said: str) -> Location | None:
    """The place of the token that Jinja2 names, where there is only one on the line."""
    if at := _AT.search(said):
        return prompt.place(int(at[1]), 1)
    got = _GOT.search(said)
    lines = prompt.text.split("\n")
    if got is None or not 0 < number <= len(lines):
        return None
    token = re.escape(_TOKENS.get(got[1], got[1]))
    found = [*re.finditer(rf"(?<!\w){token}(?!\w)|(?<=\W){token}(?=\W)", lines[number - 1])]
    if not found or (len(found) > 1 and not got[1].startswith("end")):
        return None
    start = sum(len(line) + 1 for line in lines[: number - 1])
    return prompt.place(start + found[-1].start(), len(found[-1][0]))


@dataclass(slots=True)
class _Depth:
    levels: int = 0
    loops: int = 0


@dataclass(slots=True)
class _Walk:
    """One template's tree: names are looked up in the scope where Jinja2 would look."""

    check: PromptCheck
    prompt: PromptText
    environment: PromptEnvironment
    found: dict[str, Use] = field(default_factory=dict)
    errors: int = 0
    _line: int = 1
    _tokens: dict[str, list[tuple[int, int, int]]] | None = None

    def block(self, body: Iterable[nodes.Node], bound: set[str], depth: _Depth) -> None:
        for node in body:
            self.node(node, bound, depth)

    def node(self, node: nodes.Node, bound: set[str], depth: _Depth) -> None:
        # Jinja2 gives some nodes no line: they stand where what holds them does.
        node.lineno = self._line = node.lineno or self._line
        depth = _Depth(depth.levels + 1, depth.loops + isinstance(node, nodes.For))
        if depth.levels > _MAX_LEVELS or depth.loops > _MAX_LOOPS:
            self._error(node, "", "the prompt is nested too deeply", "prompt-too-deep")
            return
        if refused := _REFUSED.get(type(node)):
            word = refused.split()[0]
            if isinstance(node, nodes.AssignBlock):
                bound |= {name.name for name in _targets(node.target)}
            self._error(
                node, word, f"'{refused}' is not available in prompts", "prompt-unsupported"
            )
            return
        if isinstance(node, nodes.Name):
            self._name(node, bound)
        elif isinstance(node, nodes.NSRef):
            self._error(node, node.name, "an attribute can't be set", "prompt-unsupported")
        elif isinstance(node, nodes.For):
            self._for(node, bound, depth)
        elif isinstance(node, nodes.Assign):
            self.node(node.node, bound, depth)
            self.node(node.target, bound, depth)
        elif isinstance(node, nodes.With):
            self.block(node.values, bound, depth)
            self.block([*node.targets, *node.body], set(bound), depth)
        elif isinstance(node, nodes.Include):
            self._include(node, bound)
        else:
            self._names(node)
            self.block(node.iter_child_nodes(), bound, depth)

    def _name(self, node: nodes.Name, bound: set[str]) -> None:
        if node.ctx != "load":
            bound.add(node.name)
        elif node.name not in bound:
            self._use(Use(node.name, self.prompt, self._offset(node, node.name)[0]))

    def _use(self, use: Use) -> None:
        self.found.setdefault(use.name, use)

    def _for(self, node: nodes.For, bound: set[str], depth: _Depth) -> None:
        if node.recursive:
            self._error(node, "recursive", "'recursive' is not available", "prompt-unsupported")
        if "loop" in {name.name for name in _targets(node.target)}:
            message = "'loop' is Jinja2's own name in a loop"
            self._error(node, "loop", message, "prompt-unsupported", "use another name")
        self.node(node.iter, bound, depth)
        inner = {*bound, "loop"}
        tests = [node.test] if node.test else []
        self.block([node.target, *tests, *node.body], inner, depth)
        self.block(node.else_, set(bound), depth)

    def _include(self, node: nodes.Include, bound: set[str]) -> None:
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        if not isinstance(name, str):
            message = "an include must name one file as a text"
            self._error(node, "include", message, "include-not-static")
            return
        if name.startswith("/"):
            message = f"the include {quoted(name)} leads out of prompts/"
            self._error(node, name, message, "path-outside", "name it relative to prompts/")
            return
        place = self._place(node, name)
        for use in self.check.included(name, place):
            if use.name not in bound:
                self._use(use)

    def _names(self, node: nodes.Node) -> None:
        """Filters, tests and attributes that there are none of; arguments given twice."""
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
            self._arguments(node)
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            known = (
                "is not available in prompts" if node.name in JINJA_FILTERS else "does not exist"
            )
            hint = did_you_mean(node.name, FILTERS)
            self._error(
                node, node.name, f"the filter '{node.name}' {known}", "unknown-filter", hint
            )
        elif isinstance(node, nodes.Test) and node.name not in self.environment.tests:
            hint = did_you_mean(node.name, list(self.environment.tests))
            self._error(
                node, node.name, f"the test '{node.name}' does not exist", "unknown-test", hint
            )
        elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            message = f"the attribute '{node.attr}' is not available in prompts"
            self._error(node, node.attr, message, "prompt-unsupported")

    def _arguments(self, node: nodes.Call | nodes.Filter | nodes.Test) -> None:
        """What Jinja2 would find only when it makes code of the call."""
        keys = [pair.key for pair in node.kwargs if isinstance(pair, nodes.Keyword)]
        for key in {key for key in keys if keys.count(key) > 1}:
            self._error(node, key, f"the argument '{key}' is given twice", "prompt-syntax")

    def _error(
        self, node: nodes.Node, word: str, message: str, code: str, hint: str | None = None
    ) -> None:
        self.errors += 1
        if self.errors <= MAX_PER_FILE:
            self.check.report.error(self._place(node, word), message, code, hint)

    def _place(self, node: nodes.Node, word: str) -> Location:
        """Where `word` stands as a token on the node's line or after it, or the line itself."""
        offset, width = self._offset(node, word)
        return self.prompt.place(offset, width) if width else self.prompt.line(node.lineno)

    def _offset(self, node: nodes.Node, word: str) -> tuple[int, int]:
        if self._tokens is None:
            self._tokens = {}
            for line, offset, token in _tokens(self.environment, self.prompt.text):
                places = self._tokens.setdefault(token.strip("'\""), [])
                places.append((line, offset, len(token)))
        places = self._tokens.get(word, [])
        index = bisect_left(places, (node.lineno, 0, 0))
        return places[index][1:] if index < len(places) else (0, 0)


def _targets(node: nodes.Node) -> Iterator[nodes.Name]:
    """The names that a loop sets."""
    return iter([node]) if isinstance(node, nodes.Name) else node.find_all(nodes.Name)


def _tokens(made: PromptEnvironment, text: str) -> Iterator[tuple[int, int, str]]:
    """Line, offset and text of every token inside delimiters, as far as the text can be lexed."""
    position = 0
    with suppress(TemplateSyntaxError):  # reported by whoever parses the text
        for line, kind, token in made.lex(text):
            offset = text.find(token, position)
            if offset < 0:
                continue
            position = offset + len(token)
            if kind in ("name", "string", "operator"):
                yield line, offset, token


def _opening(made: PromptEnvironment, prompt: PromptText, tag: str) -> Location | None:
    """Where the last `{% tag %}` without its `{% endtag %}` stands."""
    opened: list[int] = []
    for _, offset, token in _tokens(made, prompt.text):
        before = prompt.text[:offset].rstrip("-+ \t\n")
        if token == tag and before.endswith("{%"):
            opened.append(offset)
        elif token == f"end{tag}" and opened:
            opened.pop()
    return prompt.place(opened[-1], len(tag)) if opened else None


def undeclared(use: Use, declared: Iterable[str]) -> tuple[str, str | None]:
    """Message and hint for a variable that the agent doesn't declare."""
    if use.name in _JINJA_GLOBALS:
        return f"'{use.name}' is not available in prompts", None
    if use.name in _SOURCES:
        return (
            f"'{use.name}' can't be read directly",
            "declare a variable under instructions.variables with a source, such as user.email",
        )
    near = did_you_mean(use.name, list(declared))
    hint = near if near and near.startswith("did") else "declare it under instructions.variables"
    return f"the variable '{use.name}' is not declared", hint
