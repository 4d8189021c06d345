"""Jinja2 with nothing in it that can hang, grow without bound or reach outside the given values."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.filters import do_round
from jinja2.lexer import Lexer
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_OUTPUT = 64_000
"""Characters of a rendered prompt, and of any text made on the way."""

MAX_SECONDS = 0.2
"""CPU time that rendering may take; not wall time, so that a busy machine breaks no prompt."""

MAX_TOKENS = 5_000
"""Words, signs and texts of a prompt as Jinja2 counts them; `{{ a }}` has five."""

_MAX_MADE = 100 * MAX_OUTPUT
_MAX_BITS = 4096
_MAX_DIGITS = 100

FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float"),
    *("int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject"),
    *("rejectattr", "replace", "reverse", "round", "select", "selectattr", "sort", "string"),
    *("sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount"),
)
"""Jinja2's filters without those that pad, repeat or format to a given width."""

_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        {
            *("capitalize", "count", "endswith", "find", "isalnum", "isalpha", "isdigit"),
            *("islower", "isupper", "lower", "lstrip", "partition", "removeprefix"),
            *("removesuffix", "rpartition", "rsplit", "rstrip", "split", "splitlines"),
            *("startswith", "strip", "title", "upper"),
        }
    ),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
}


class TooMuchError(SecurityError):
    """A prompt grew larger or took longer than it may."""


@dataclass(slots=True)
class _Budget:
    """What is left for one rendering: CPU time up to `deadline`, and characters to make."""

    deadline: float
    characters: int


_budget: ContextVar[_Budget | None] = ContextVar("prompt_budget", default=None)


@contextmanager
def budget(seconds: float = MAX_SECONDS, characters: int = _MAX_MADE) -> Iterator[None]:
    """What runs inside raises TooMuchError once it has used more CPU time or made more text."""
    token = _budget.set(_Budget(time.thread_time() + seconds, characters))
    try:
        yield
    finally:
        _budget.reset(token)


def _check_time() -> None:
    left = _budget.get()
    if left is not None and time.thread_time() > left.deadline:
        raise TooMuchError(f"the prompt took longer than {MAX_SECONDS} s")


def _charge(length: int) -> None:
    """Take a text or list of that size from the budget, before it is made."""
    _check_time()
    if length > MAX_OUTPUT:
        raise TooMuchError(f"a text or list is longer than {MAX_OUTPUT:,} characters")
    left = _budget.get()
    if left is not None:
        left.characters -= length
        if left.characters < 0:
            raise TooMuchError("the prompt makes too much text on the way")


def _size(value: object) -> int:
    """About how long the value is as text; exact enough once it is more than MAX_OUTPUT."""
    total = 0
    waiting = [value]
    while waiting and total <= MAX_OUTPUT:
        item = waiting.pop()
        total += 2
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, Mapping):
            waiting += [*item, *item.values()]
        elif isinstance(item, list | tuple):
            total += len(item)
            waiting += item[:MAX_OUTPUT]
    return total


class _Lexer(Lexer):
    """Stops where there is too much to parse: what Jinja2 makes of a token costs far more."""

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        tokens = super().tokeniter(source, name, filename, state)
        for count, (line, kind, text) in enumerate(tokens):
            if count >= MAX_TOKENS:
                message = f"the prompt has more than {MAX_TOKENS:,} words and signs in braces"
                raise TemplateSyntaxError(message, line, name, filename)
            if kind in ("integer", "float") and len(text) > _MAX_DIGITS:
                raise TemplateSyntaxError("the number is too long", line, name, filename)
            yield line, kind, text


class _Generator(CodeGenerator):
    """Sends what Jinja2 compiles past its sandbox through the environment."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        self.write("environment.collected(")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        if node.ctx != "load":
            super().visit_Tuple(node, frame)
            return
        self.write("environment.collected(")
        super().visit_Tuple(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        self.write("environment.collected(")
        super().visit_Dict(node, frame)
        self.write(")")


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox over plain data: no globals, a list of filters and methods, bounded growth.

    `includes` maps the names that `include` may use to their sources.
    """

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, includes: Mapping[str, str]) -> None:
        super().__init__(
            undefined=StrictUndefined,
            loader=DictLoader(includes),
            finalize=_finalized,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=max(1, len(includes)),
            auto_reload=False,
        )
        own: dict[str, Callable[..., Any]] = {
            "join": _join,
            "replace": _replace,
            "round": _round,
            "tojson": _tojson,
        }
        available = {**self.filters, **own}
        self.filters = {name: available[name] for name in FILTERS} | {"_each": _each}
        self.globals.clear()

    @cached_property
    def lexer(self) -> Lexer:  # Jinja2's own is shared by all environments
        return _Lexer(self)

    def joined(self, parts: Iterable[object]) -> str:
        """The operator `~`. Raises TooMuchError for a text that is too long."""
        return _join(list(parts))

    def collected(self, made: Any) -> Any:
        """A list, tuple or dict that was written out. What it holds may hold more: all counts."""
        _charge(_size(made))
        return made

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_time()
        _check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        del value
        if isinstance(obj, LoopContext):
            return not attr.startswith("_")
        return attr in _METHODS.get(type(obj), ())

    def is_safe_callable(self, obj: Any) -> bool:
        _check_time()
        owner = type(getattr(obj, "__self__", None))
        return owner in _METHODS or owner is LoopContext

    def get_template(self, name: Any, parent: Any = None, globals: Any = None) -> Any:  # noqa: A002 - Jinja2's name
        _check_time()
        return super().get_template(name, parent, globals)

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,
    ) -> str:
        for loop in list(source.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "_each", [], [], None, None, lineno=loop.lineno)
        return super()._generate(source, name, filename, defer_init)


# Taking the context keeps Jinja2 from evaluating constant expressions while it compiles.
@pass_context
def _finalized(context: object, value: object) -> object:
    del context
    _charge(_size(value))
    return "" if value is None else value


def _check_operands(operator: str, left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_numbers(operator, left, right)
    elif operator == "%" and isinstance(left, str):
        raise TooMuchError("text can't be formatted with %: use ~ or write it out")
    elif operator == "*":
        sized, times = (left, right) if isinstance(right, int) else (right, left)
        _charge((_size(sized) - 2) * times if isinstance(times, int) else 0)
    elif operator == "+":
        _charge(_size(left) + _size(right))


def _check_numbers(operator: str, left: int, right: int) -> None:
    bits = left.bit_length() * (max(right, 0) if operator == "**" else 1)
    if operator == "*":
        bits += right.bit_length()
    if bits > _MAX_BITS:
        raise TooMuchError("the number is too large")


def _each(values: Iterable[Any]) -> Iterator[Any]:
    """A loop's values, on the clock."""
    for value in values:
        _check_time()
        yield value


def _join(values: Iterable[object], d: str = "", attribute: str | int | None = None) -> str:
    """As Jinja2's own, of items or of one item's key."""
    texts: list[str] = []
    length = 0
    for value in _each(values):
        item = value if attribute is None else value[attribute]
        length += _size(item) + len(d)
        if length > MAX_OUTPUT:
            break
        texts.append(str(item))
    _charge(length)
    return d.join(texts)


def _replace(text: object, old: str, new: str, count: int = -1) -> str:
    _charge(_size(text))
    whole = str(text)
    times = whole.count(old) if count < 0 else min(count, whole.count(old))
    _charge(len(whole) + times * (len(new) - len(old)))
    return whole.replace(old, new, count)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > _MAX_DIGITS:
        raise TooMuchError(f"a number is rounded to at most {_MAX_DIGITS} digits")
    return do_round(value, precision, method)


def _tojson(value: object) -> str:
    _charge(_size(value))
    return json.dumps(value, ensure_ascii=False)
