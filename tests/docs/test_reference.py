"""The reference: every key is explained, nothing generated is stale, no link leads nowhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generate import PARTS, filled
from key_tables import SCHEMAS, flow, heading, objects, own_objects, schema_of

from retinue.cli.verbs import VERBS, whole
from retinue.compile.document import read_document
from retinue.compile.report import Report

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
ALL = "\n".join(TEXTS.values())
MARKER = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)


def keys() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for name in SCHEMAS:
        for definition, schema in own_objects(name).items():
            for key, value in schema["properties"].items():
                yield name, definition, key, value


def prose_under(title: str, text: str = ALL) -> str:
    """What is written by hand between a heading and the next one."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section '{title}' in docs/"
    return MARKER.sub("", found[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_generated_is_stale(page: Path) -> None:
    assert filled(TEXTS[page.name]) == TEXTS[page.name], "run make generate"


@pytest.mark.parametrize(("name", "definition", "key", "schema"), [*keys()])
def test_every_key_has_a_row_with_a_description_and_an_example(
    name: str, definition: str, key: str, schema: dict[str, Any]
) -> None:
    marker = f"<!-- generated: keys {' '.join(filter(None, (name, definition)))} -->"
    assert ALL.count(marker) == 1, f"docs/ need a section with {marker}"
    table = ALL.partition(marker)[2].partition("<!-- end -->")[0]
    (row,) = re.findall(rf"^\| `{key}` \|.*$", table, re.MULTILINE)
    cells = re.split(r"(?<!\\) \| ", row)
    assert len(cells) == 5
    assert all(cells[column].strip(" |") for column in (0, 1, 3, 4))
    assert schema["description"].replace("|", "\\|") in row


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_key_of_a_file_has_a_section_of_its_own(name: str) -> None:
    page = next(t for t in TEXTS.values() if f"<!-- generated: keys {name} -->" in t)
    for key in schema_of(name)["properties"]:
        assert len(prose_under(f"`{key}`", page).split()) >= 15, key


@pytest.mark.parametrize("definition", sorted({d for name in SCHEMAS for d in objects(name) if d}))
def test_every_object_has_a_section_with_prose(definition: str) -> None:
    assert len(prose_under(heading(definition)).split()) >= 15


@pytest.mark.parametrize("value", ["a: b", "*", "60s", "12", 12, True, ["x", {"a": "1.0"}], "é #"])
def test_an_example_in_a_table_means_what_it_says_in_a_file(value: object) -> None:
    document = read_document("x", f"key: {flow(value)}\n".encode(), Report())
    assert document is not None
    assert document.root.plain() == {"key": value}


def test_every_verb_has_its_help_in_the_docs() -> None:
    for name in VERBS:
        below = getattr(whole(name), "commands", ())
        for words in (name, *(f"{name} {each}" for each in below)):
            assert f"<!-- generated: help {words} -->" in TEXTS["cli.md"]
            assert f"Usage: retinue {words}" in TEXTS["cli.md"]


def test_a_stale_page_is_named_and_left_alone(tmp_path: Path) -> None:
    for path in (REPOSITORY / "docs").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    stale = "a\n<!-- generated: names tests -->\nold\n<!-- end -->\nb\n"
    (tmp_path / "page.md").write_text(stale, encoding="utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, str(tmp_path / "generate.py"), *words]
        return subprocess.run(script, capture_output=True, text=True, check=False)

    checked = run("--check")
    assert (checked.returncode, checked.stdout) == (1, "docs/page.md is stale: run make generate\n")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == stale
    assert run().returncode == 0
    made = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "`defined`" in made
    assert made.startswith("a\n")
    assert made.endswith("\nb\n")
    assert run("--check").returncode == 0


def test_a_part_that_nothing_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("<!-- generated: nonsense -->\n<!-- end -->")
    assert set(PARTS) == {"errors", "help", "keys", "names"}


def anchors(text: str) -> set[str]:
    """The anchors that a reader of Markdown gives its headings, as GitHub does."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), target


def test_every_page_is_in_the_index() -> None:
    for page in PAGES:
        assert page.name == "README.md" or f"({page.name})" in TEXTS["README.md"]
