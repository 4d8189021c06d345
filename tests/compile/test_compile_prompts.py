"""Prompts: mistakes are found before anything runs; rendering can't hang, grow or escape."""

import time
import tracemalloc
from pathlib import Path

import pytest
from folders import codes, compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue.agent import Instructions
from retinue.compile.prompts import PromptCheck, PromptText
from retinue.compile.rendering import Renderer
from retinue.compile.report import Report
from retinue.diagnostics import Location
from retinue.errors import PromptError


def render(text: str, includes: dict[str, str] | None = None, **values: object) -> str:
    made = Instructions(text=text, origin="prompts/p.md", includes=tuple((includes or {}).items()))
    return Renderer(made).render(values)  # type: ignore[arg-type]


def agent_file(prompt: str, variables: str = "{}") -> str:
    indented = "".join(f"    {line}\n" for line in prompt.split("\n"))
    return f"model: x\ninstructions:\n  text: |\n{indented}  variables: {variables}\n"


def test_literal_text_never_meets_jinja(tmp_path: Path) -> None:
    (agent,) = compiled(
        tmp_path, {"agents/a.yaml": "model: x\ninstructions: 100 % { of } it\n"}
    ).checked()
    assert agent.instructions.literal
    assert Renderer(agent.instructions).render({}) == "100 % { of } it"


def test_a_prompt_is_rendered_with_its_includes(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": "model: x\ninstructions: {file: prompts/p.md, variables: {n: 2}}\n",
        "prompts/p.md": '{% for i in [1, 2] %}\n{% include "parts/row.md" %}\n{% endfor %}\n',
        "prompts/parts/row.md": "row {{ i }} of {{ n }}\n",
    }
    (agent,) = compiled(tmp_path, files).checked()
    assert [source.path for source in agent.sources] == [
        "agents/a.yaml", "prompts/p.md", "prompts/parts/row.md",
    ]  # fmt: skip
    assert Renderer(agent.instructions).render({"n": 2}) == "row 1 of 2row 2 of 2"


def test_none_renders_as_nothing_and_a_missing_value_is_an_error() -> None:
    assert render("a{{ x }}b", x=None) == "ab"
    with pytest.raises(PromptError, match=r"prompts/p.md: 'x' is undefined"):
        render("a{{ x }}b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ name|upper ~ '!' }}", "ADA!"),
        ("{% if name is defined and name %}yes{% else %}no{% endif %}", "yes"),
        ("{{ 'a, b'.split(', ')|join('+') }}", "a+b"),
        ("{{ {'k': [1, 2]}.k|sum }} {{ {'k': 1}|tojson }}", '3 {"k": 1}'),
        ("{% set a, b = 1, 2 %}{{ a + b }}", "3"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{{ loop.last }}{% endfor %}", "a1True"),
        ("{{ 2 ** 10 }} {{ 7 % 4 }} {{ [1] * 2 }} {{ 'ab' * 2 }}", "1024 3 [1, 1] abab"),
        ("{{ name|replace('A', 'I')|default('x') }}", "Ida"),
    ],
)
def test_ordinary_jinja_works(text: str, expected: str) -> None:
    assert render(text, name="Ada") == expected


HOSTILE = [
    "{{ 'A' * 10**9 }}",
    "{{ 'A' * 60000 ~ 'B' * 60000 }}",
    "{{ ['a' * 60000] * 60000 }}",
    "{{ [[[1] * 9000] * 9000] * 9000 }}",
    "{{ ('a' * 60000)|replace('a', 'b' * 60000) }}",
    "{{ (['a' * 6000] * 6000)|join }}",
    "{{ (['a'] * 9000)|map('replace', 'a', 'b' * 60000)|list|length }}",
    "{{ 10 ** (10 ** 8) }}",
    "{{ '%1000000000d' % 5 }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ 'x'.center(10**9) }}{{ 'x'.zfill(10**9) }}{{ 'x'.ljust(10**9) }}",
    "{{ 'x'|center(10**9) }}",
    "{{ 'x'|indent(10**9) }}",
    "{{ [1]|tojson(indent=10**9) }}",
    "{{ 'x'|batch(10**9, 'y')|list }}",
    "{% for a in 'aa' * 9000 %}" * 3 + "{% endfor %}" * 3,
    "{% for a in 'aa' * 9000 %}{{ 'b' * 60000 }}{% endfor %}",
    "{% set a = 'x' * 60000 %}" + "{% set a = a ~ a %}" * 40,
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a == a }}",
    "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40
    + "{{ a == b }}",
    "{% set x %}aaaaaaaaaa{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + "{{ x }}",
    "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('a') }}",
    "{{ range(10**9)|list }}",
    "{{ lipsum(n=100000) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''|attr('__class__') }}",
    "{{ self.__init__ }}",
    "{{ namespace }}",
    "{{ (" + "(" * 400 + "1" + ")" * 400 + ") }}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{% include 'a' %}",
    "{% include 'nothing' %}",
    "{{ 1 / 0 }}",
    "{{ 'a' + 1 }}",
    "{{ [].x.y }}",
    "{{ 'abc'|truncate(1) }}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_prompt_is_stopped_in_time_and_memory(text: str) -> None:
    includes = {chr(97 + n): f"{{% include '{chr(98 + n)}' %}}" * 2 for n in range(25)}
    includes["z"] = "x"
    tracemalloc.start()
    started = time.thread_time()
    with pytest.raises(PromptError):
        render(text, includes)
    used = time.thread_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 2.0
    assert peak < 32_000_000


def test_output_up_to_the_limit_is_fine() -> None:
    assert len(render("{{ 'a' * 60000 }}")) == 60_000
    with pytest.raises(PromptError, match="longer than 64,000"):
        render("{{ 'a' * 60000 }}{{ 'a' * 60000 }}")


def place(offset: int, width: int) -> Location:
    return Location("p", 1, offset + 1, width)


def checked(text: str, includes: dict[str, str] | None = None) -> tuple[list[str], list[str], bool]:
    """The names used, the codes reported, whether the check gave up."""
    report = Report()
    sources = includes or {}

    def include(name: str, _place: Location) -> PromptText | None:
        return PromptText(sources[name], place) if name in sources else None

    check = PromptCheck(report, include)
    uses = check.uses(PromptText(text, place))
    return [use.name for use in uses], [d.code for d in report.diagnostics()], check.failed


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ a }}{{ a }}{{ b }}", ["a", "b"]),
        ("{% set a = b %}{{ a }}", ["b"]),
        ("{% for a in b %}{{ a }}{{ loop.index }}{% endfor %}{{ a }}", ["b", "a"]),
        ("{% for a, b in c if a %}{{ b }}{% else %}{{ d }}{% endfor %}", ["c", "d"]),
        ("{% with a = b %}{{ a }}{% endwith %}{{ a }}", ["b", "a"]),
        ("{% if a is defined %}{{ b|default(c) }}{% elif d %}{% endif %}", ["a", "b", "c", "d"]),
        ("{{ a.b.c['d'][e] }}", ["a", "e"]),
        ("{% if x %}{% set y = 1 %}{% endif %}{{ y }}", ["x"]),
        ("{% raw %}{{ a }}{% endraw %}{# {{ b }} #}", []),
        ("{% for a in [] %}{% include 'i' %}{% endfor %}", ["z"]),
    ],
)
def test_names_are_looked_up_where_jinja_would(text: str, names: list[str]) -> None:
    assert checked(text, {"i": "{{ a }}{{ z }}{% set q = 1 %}{{ q }}"}) == (names, [], False)


def test_a_broken_prompt_shared_by_two_agents_breaks_both(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": "model: x\ninstructions: {file: prompts/p.md}\n",
        "agents/b.yaml": "model: x\ninstructions: {file: prompts/p.md, variables: {q: 1}}\n",
        "agents/c.yaml": "model: x\ninstructions: fine\n",
        "prompts/p.md": "{% if %}",
    }
    result = compiled(tmp_path, files)
    assert [agent.name for agent in result.agents] == ["c"]
    assert codes(result) == ["prompt-syntax"]


def test_nesting_that_is_allowed_can_be_compiled() -> None:
    text = (
        "{% if 1 %}" * 25 + "{% for a in [1] %}" * 8 + "x" + "{% endfor %}" * 8 + "{% endif %}" * 25
    )
    assert checked(text) == ([], [], False)
    assert render(text) == "x"


@given(st.text(alphabet=st.sampled_from("{}%#|.~ ab'\"()[]0*=\n,:-"), max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_template_is_checked_and_what_passes_can_be_rendered_or_refused(text: str) -> None:
    names, said, failed = checked(text)
    assert failed == bool(said)
    if not said:
        try:
            render(text, **dict.fromkeys(names, "v"))
        except PromptError as error:
            # An expression may fail on its values; its compilation may not.
            assert "No filter" not in str(error)


def test_a_link_out_of_prompts_is_not_included(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "project"
    files = {
        "agents/a.yaml": "model: x\ninstructions: {file: prompts/p.md}\n",
        "prompts/p.md": "{% include 'link.md' %}{% include 'inner.md' %}",
        "agents/x.md": "text",
    }
    (root / "prompts").mkdir(parents=True)
    (root / "prompts/link.md").symlink_to(tmp_path / "secret.txt")
    (root / "prompts/inner.md").symlink_to(root / "agents/x.md")
    assert codes(compiled(root, files)) == ["path-outside", "path-outside"]
