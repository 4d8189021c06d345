"""space.yaml: what is wrong in it, and where."""

import shutil
from pathlib import Path

import pytest

from offline.conftest import BAKEHOUSE
from retinue.diagnostics import CompileError
from retinue.offline.genie.__main__ import main
from retinue.offline.genie.opening import problems
from retinue.offline.genie.space import load_space


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BAKEHOUSE, tmp_path / "space"))


def change(folder: Path, old: str, new: str) -> int:
    """Replace a text in the space; the line it was on."""
    file = folder / "space.yaml"
    text = file.read_text("utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), "utf-8")
    return text[: text.index(old)].count("\n") + 1


def mistakes(folder: Path) -> list[tuple[int, str]]:
    with pytest.raises(CompileError) as caught:
        load_space(folder)
    return [(d.location.line, d.message) for d in caught.value.diagnostics]


def test_the_sample_is_right_and_everything_in_it_runs() -> None:
    assert list(problems(load_space(BAKEHOUSE))) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "facts: sales_transactions",
            "facts: sales",
            "'facts' names 'sales', which is not defined",
        ),
        ("rank_by: revenue", "rank_by: cost", "'rank_by' names 'cost', which is not defined"),
        (
            "over: buying_customers",
            "over: buyers",
            "'metrics.customers.over' names 'buyers', which",
        ),
        ("title: Bakehouse sales", "titel: Bakehouse sales", "'titel' is not a known key"),
        ("catalog: samples", "catalog: sam-ples", "'catalog': string should match pattern"),
        ("01efba4e000000000000ba4e40c5e001", "nope", "'id': string should match pattern"),
        ("seed: seed.sql", "seed: other.sql", "there is no file 'other.sql' beside space.yaml"),
        ("seed: seed.sql", "seed: ../a.sql", "'../a.sql' leads out of the space's folder"),
        ("[units, units sold,", "[revenue, units,", "'revenue' means both 'revenue' and 'units'"),
        ("words: [reviews,", "words: [gender,", "the metric 'reviews' and the dimension 'gender'"),
        ("version: 1", "version: 2", "'version': input should be 1"),
    ],
)
def test_a_mistake_is_named_with_its_line(folder: Path, old: str, new: str, message: str) -> None:
    line = change(folder, old, new)
    assert any(at == line and message in text for at, text in mistakes(folder)), mistakes(folder)


def test_two_tables_with_one_alias_are_refused(folder: Path) -> None:
    change(folder, "alias: f\n", "alias: t\n")
    ((_, text),) = mistakes(folder)
    assert text == "'sales_franchises' and 'sales_transactions' have the same alias"


def test_all_mistakes_come_at_once(folder: Path) -> None:
    change(folder, "facts: sales_transactions", "facts: sales")
    change(folder, "rank_by: revenue", "rank_by: revenues")
    assert len(mistakes(folder)) == 2


def test_a_missing_key_is_named(folder: Path) -> None:
    change(folder, "rank_by: revenue\n", "")
    assert [text for _, text in mistakes(folder)] == ["'rank_by' is missing"]


def test_broken_yaml_and_a_missing_file_are_told(tmp_path: Path) -> None:
    ((_, text),) = mistakes(tmp_path)
    assert text == "no space can be read here: no such file or directory"
    (tmp_path / "space.yaml").write_text("a: [1")
    assert mistakes(tmp_path)
    (tmp_path / "space.yaml").write_text("- just\n- a list")
    ((_, text),) = mistakes(tmp_path)
    assert text == "a space is a mapping of keys to values"


def test_the_command_shows_mistakes_and_exits_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "rank_by: revenue", "rank_by: revenues")
    assert main([str(folder)]) == 2
    shown = capsys.readouterr().err
    assert "'rank_by' names 'revenues', which is not defined" in shown
    assert "hint: did you mean 'revenue'?" in shown


def test_the_check_runs_every_expression_and_question(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "sql: SUM(t.quantity)\n", "sql: SUM(t.amount)\n")
    change(folder, "- ask: Revenue by weekday in Japan", "- ask: Revenue by moon phase in Japan")
    assert main([str(folder), "--check"]) == 2
    shown = capsys.readouterr().err
    assert "metrics.units: the query doesn't run" in shown
    assert '"Revenue by moon phase in Japan" has no answer' in shown
