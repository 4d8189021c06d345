"""An agent file, the files that it extends and the project's defaults → one tree."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from retinue.compile.document import MAX_NODES, read_document
from retinue.compile.interpolate import CompileContext, Interpolation
from retinue.compile.merge import merged
from retinue.compile.mistakes import read_part
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.spec import holds_references, may_wait
from retinue.compile.tree import Document, Node
from retinue.compile.variables import Variables
from retinue.diagnostics import Location
from retinue.errors import ProjectError

MAX_CHAIN = 32
"""Files that extend each other, one after the other."""

MAX_VALUES = 2 * MAX_NODES
"""Values of all files that one extends, counted as often as they are put together."""

_NOT_INHERITED = ("version", "name", "extends")
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NOTHING_WRITTEN: Mapping[Location, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Layer:
    """A tree with its references replaced. `used` are the variables that went in, `written` what
    stood where one may be waited for, `files` the files that it was read from, `size` how many
    values were put together for it.
    """

    root: Node
    used: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    written: Mapping[Location, str] = field(default_factory=lambda: _NOTHING_WRITTEN)
    files: tuple[str, ...] = ()
    failed: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Layers:
    """Makes agents' trees. A file that several agents extend is read and checked once: what is
    wrong in it goes to `report`, and its text to `documents`.
    """

    context: CompileContext
    variables: Variables
    reader: Reader
    report: Report
    documents: dict[str, Document]
    base: Layer | None
    _known: dict[str, Layer] = field(default_factory=dict)

    def agent(self, document: Document, report: Report) -> Layer:
        """The whole tree of an agent: its own file over what it extends, over the defaults."""
        own = self._own(document, report)
        below = self._below(own.root, [document.file], report)
        return _stacked([*([self.base] if self.base else []), *below, own])

    def _own(self, document: Document, report: Report) -> Layer:
        stage = Interpolation(self.context, self.variables, report, holds_references, may_wait)
        root = stage.apply(document)
        return Layer(root, stage.used, stage.written, (document.file,), size=root.size)

    def _below(self, root: Node, chain: Sequence[str], report: Report) -> list[Layer]:
        """What a file extends; nothing where that would be too much."""
        layers = [*self._extended(root, chain, report)]
        if sum(layer.size for layer in layers) <= MAX_VALUES:
            return layers
        message = f"the files hold more than {MAX_VALUES:,} values together"
        report.error(root.key(("extends",)), message, "too-many-values", "extend fewer files")
        return []

    def _extended(self, root: Node, chain: Sequence[str], report: Report) -> Iterator[Layer]:
        named = root.child("extends")
        for node in (named.items or [named]) if named else ():
            if isinstance(node.value, str):  # anything else is told when the form is checked
                yield self._fragment(node, node.value, chain, report)

    def _fragment(self, node: Node, name: str, chain: Sequence[str], report: Report) -> Layer:
        broken = Layer(Node({}, node.place), failed=True)
        try:
            path = self.reader.project.shown(self.reader.project.inside(name))
            data = self.reader.read(path)
        except ProjectError as error:
            report.error(node.place, str(error), "path-outside")
            return broken
        except ReadError as error:
            hint = "paths start at the project's root" if error.code == "file-not-found" else None
            report.error(node.place, str(error), error.code, hint)
            return broken
        if path in chain:
            circle = " → ".join([*chain[chain.index(path) :], path])
            message = f"the files extend each other: {circle}"
            report.error(node.place, message, "extends-cycle", "remove one of the links")
            return broken
        if len(chain) > MAX_CHAIN:
            message = f"more than {MAX_CHAIN} files extend one another"
            report.error(node.place, message, "extends-too-deep")
            return broken
        if path not in self._known:
            self._known[path] = self._read(path, data, [*chain, path]) or broken
        return self._known[path]

    def _read(self, path: str, data: bytes, chain: Sequence[str]) -> Layer | None:
        """A fragment with what it extends, its mistakes told and left out."""
        report = self.report.sibling()
        document = read_document(path, data, report)
        layer = self._checked(document, chain, report) if document else None
        self.report.take(report)
        return layer

    def _checked(self, document: Document, chain: Sequence[str], report: Report) -> Layer:
        self.documents[document.file] = document
        own = self._own(document, report)
        right = replace(own, root=read_part(own.root, report))
        whole = _stacked([*self._below(own.root, chain, report), right])
        return replace(whole, failed=whole.failed or report.failed)


def _stacked(layers: Sequence[Layer]) -> Layer:
    """One layer of several; what belongs to a file alone comes from the last."""
    if len(layers) == 1:
        return layers[0]
    below = [layer.root.without((key,) for key in _NOT_INHERITED) for layer in layers[:-1]]
    return Layer(
        merged([*below, layers[-1].root]),
        {name: value for layer in layers for name, value in layer.used.items()},
        {place: text for layer in layers for place, text in layer.written.items()},
        tuple(dict.fromkeys(file for layer in layers for file in layer.files)),
        any(layer.failed for layer in layers),
        sum(layer.size for layer in layers),
    )
