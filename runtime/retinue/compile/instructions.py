"""`instructions` of an agent file → Instructions: the prompt read, its variables checked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from retinue.agent import Instructions, Variable
from retinue.compile.mistakes import stands_for
from retinue.compile.prompt_variables import PromptVariables, is_name
from retinue.compile.prompts import (
    MAX_PROMPT_BYTES,
    PromptCheck,
    PromptText,
    Use,
    is_template,
    undeclared,
)
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import MAX_PER_FILE, Report, quoted, split_lines
from retinue.compile.source_text import decode_text
from retinue.compile.spec import InstructionsSpec, VariableSpec
from retinue.compile.tree import Document, Node, Path
from retinue.diagnostics import Location, did_you_mean

_ROOT: Path = ("instructions",)
_VARIABLES: Path = ("instructions", "variables")
_PATH = re.compile(r"[\w./-]{1,200}\.(?:md|txt|j2|jinja2?)")
"""A text that is nothing but a file's path, and surely meant for `file`."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt's text, its file's path, the files read for it, and what it is known by if agents
    may share it.
    """

    source: PromptText
    origin: str
    files: tuple[str, ...]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class _Checked:
    """What a prompt reads and includes, and what is wrong with it."""

    uses: tuple[Use, ...]
    includes: tuple[tuple[str, str], ...]
    files: tuple[str, ...]
    failed: bool
    report: Report


Checked = dict[str, _Checked]
"""Prompts that were checked, by path or place: agents share them."""


_NOTHING_TO_CHECK = _Checked((), (), (), failed=False, report=Report())


@dataclass(slots=True)
class InstructionsStage:
    """The instructions of one agent: `file` is its own, `documents` all that its tree comes from,
    `shared` the variables that any prompt may use.
    """

    file: str
    documents: Mapping[str, Document]
    root: Node
    shared: Mapping[str, Variable]
    reader: Reader
    report: Report
    checked: Checked

    def compile(self, spec: InstructionsSpec) -> tuple[Instructions, list[str]] | None:
        """The instructions and the files that were read for them, or None with the reason in
        the report.
        """
        variables = PromptVariables(self.root, _VARIABLES, self.report).compile(spec.variables)
        prompt = self._prompt(spec)
        if prompt is None:
            return None
        text = prompt.source.text
        template = is_template(text)
        checked = self._checked(prompt) if template else _NOTHING_TO_CHECK
        self.report.take(checked.report)
        self._check_declared(checked.uses, spec.variables)
        variables += self._used_of_shared(checked.uses, spec.variables)
        if not checked.failed:
            self._check_used(checked.uses, spec.variables)
        instructions = Instructions(
            text=text,
            origin=prompt.origin,
            literal=not template and not variables,
            variables=variables,
            includes=checked.includes,
        )
        return instructions, [*prompt.files, *checked.files]

    def _used_of_shared(
        self, uses: Iterable[Use], declared: Mapping[str, VariableSpec]
    ) -> tuple[Variable, ...]:
        names = [u.name for u in uses if u.name not in declared and u.name in self.shared]
        return tuple(self.shared[name] for name in dict.fromkeys(names))

    def _checked(self, prompt: _Prompt) -> _Checked:
        """A prompt that agents share is checked once, a text in the agent's own file for itself."""
        if prompt.key is None:
            return self._check(prompt)
        if prompt.key not in self.checked:
            self.checked[prompt.key] = self._check(prompt)
        return self.checked[prompt.key]

    def _check(self, prompt: _Prompt) -> _Checked:
        report = self.report.sibling()
        check = PromptCheck(report, replace(self, report=report)._include)  # noqa: SLF001 - itself
        uses = tuple(check.uses(prompt.source))
        includes = tuple(sorted(check.includes.items()))
        files = tuple(f"prompts/{name}" for name, _ in includes)
        return _Checked(uses, includes, files, check.failed, report)

    def _prompt(self, spec: InstructionsSpec) -> _Prompt | None:
        node = self.root.child("instructions")
        if node is None:
            return None
        if isinstance(node.value, str):
            return self._inline(node)
        given = [key for key in ("text", "file") if key in {*node.entries, *node.absent}]
        if len(given) != 1:
            self._not_one(given)
            return None
        text = node.child("text")
        if text is not None:
            return self._inline(text)
        return self._from_file(spec.file, self.root.at((*_ROOT, "file"))) if spec.file else None

    def _not_one(self, given: Sequence[str]) -> None:
        if given:
            place, message = self.root.key((*_ROOT, "file")), "'text' and 'file' exclude each other"
            self.report.error(place, message, "conflicting-keys", "keep one of them")
        elif not (stands_for("file", self.root, _ROOT) or stands_for("text", self.root, _ROOT)):
            place = self.root.key(_ROOT)
            hint = "add 'file: prompts/….md.j2' or 'text: …'"
            self.report.error(place, "the instructions lack a text", "missing-key", hint)

    def _inline(self, node: Node) -> _Prompt | None:
        text = str(node.value)
        if not text.strip():
            self._no_text(node.place)
            return None
        if _PATH.fullmatch(text.strip()):
            hint = f"write 'instructions: {{file: {text.strip()}}}'"
            message = "the model gets this path, and not what the file says"
            self.report.warning(node.place, message, "wrong-value", hint)
        if len(text) > MAX_PROMPT_BYTES:
            message = (
                f"the text has {len(text):,} characters; at most {MAX_PROMPT_BYTES:,} are read"
            )
            self.report.error(node.place, message, "too-large")
            return None
        file = node.place.file
        source = PromptText(text, _Inline(self.documents[file], node, text).place)
        return _Prompt(source, file, (), None if file == self.file else str(node.place))

    def _no_text(self, place: Location) -> None:
        self.report.error(place, "the instructions are empty", "empty-value", "write what to do")

    def _from_file(self, path: str, place: Location) -> _Prompt | None:
        source = self._source(path, place)
        if source is None:
            return None
        if not source.text.strip():
            self._no_text(place)
            return None
        return _Prompt(source, path, (path,), path)

    def _source(self, path: str, place: Location) -> PromptText | None:
        """A prompt file's text; the reason why there is none goes to `place`."""
        try:
            data = self.reader.read(path, MAX_PROMPT_BYTES)
        except ReadError as error:
            hint = self._nearest(path) if error.code == "file-not-found" else None
            self.report.error(place, str(error), error.code, hint)
            return None
        text = decode_text(path, data, self.report)
        if text is None:
            return None
        text = "\n".join(split_lines(text))
        self.report.add_lines(path, text.split("\n"))
        return PromptText(text, Document(path, text, self.root).place)

    def _nearest(self, path: str) -> str | None:
        known = [*self.reader.matching("prompts/*"), *self.reader.matching("prompts/*/*")]
        return did_you_mean(path[:100], known)

    def _include(self, name: str, place: Location) -> PromptText | None:
        """A file under prompts/ that a prompt includes."""
        path = f"prompts/{name}"
        if not self._under_prompts(path):
            message = f"the include {quoted(name)} leads out of prompts/"
            self.report.error(place, message, "path-outside")
            return None
        return self._source(path, place)

    def _under_prompts(self, path: str) -> bool:
        return self.reader.is_under(path, "prompts")

    def _check_declared(self, uses: Iterable[Use], declared: Mapping[str, VariableSpec]) -> None:
        known = {**self.shared, **declared}
        missing = [u for u in uses if u.name not in known and not self._was_declared(u.name)]
        for use in missing[:MAX_PER_FILE]:
            message, hint = undeclared(use, known)
            self.report.error(use.place, message, "undeclared-variable", hint)

    def _check_used(self, uses: Iterable[Use], declared: Mapping[str, VariableSpec]) -> None:
        used = {use.name for use in uses}
        for name in declared:
            if name not in used and is_name(name):
                place = self.root.key((*_VARIABLES, name))
                message = f"the variable '{name}' is not used in the prompt"
                hint = f"write {{{{ {name} }}}} in the prompt, or remove the variable"
                self.report.warning(place, message, "unused-variable", hint)

    def _was_declared(self, name: str) -> bool:
        """Whether the variable is there, but was left out because it is wrong."""
        left_out = self.root.find(_ROOT).absent
        return "variables" in left_out or name in self.root.find(_VARIABLES).absent


@dataclass(frozen=True, slots=True)
class _Inline:
    """Places in a prompt that is a YAML scalar: the n-th occurrence of a word in the value is the
    n-th in the source, unless the value was written with escapes.
    """

    document: Document
    node: Node
    text: str

    def place(self, offset: int, width: int) -> Location:
        word = self.text[offset : offset + width]
        start, end = self.node.span
        source = self.document.text[start:end]
        if not word or source.count(word) != self.text.count(word):
            return self.node.place
        position = -1
        for _ in range(self.text.count(word, 0, offset) + 1):
            position = source.find(word, position + 1 if position < 0 else position + len(word))
        return self.document.place(start + position, width)
