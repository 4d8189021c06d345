"""Places, excerpts, carets and hints."""

import re

from retinue.diagnostics import CompileError, Diagnostic, Location, did_you_mean


def test_a_block_has_headline_excerpt_caret_note_and_hint():
    diagnostic = Diagnostic(
        Location("agents/a.yaml", 3, 5, 4),
        "unknown key 'nmae'",
        "unknown-key",
        hint="did you mean 'name'?",
        excerpt="    nmae: x",
        related=((Location("agents/a.yaml", 1, 1), "first here"),),
    )
    assert diagnostic.render() == (
        "agents/a.yaml:3:5: unknown key 'nmae' [unknown-key]\n"
        "  3 |     nmae: x\n"
        "    |     ^^^^\n"
        "  note: agents/a.yaml:1:1: first here\n"
        "  hint: did you mean 'name'?"
    )


def test_a_long_line_is_cut_around_the_caret():
    line = "x" * 500 + "HERE" + "y" * 500
    place = Location("a.yaml", 1, 501, 4)
    _, shown, caret = Diagnostic(place, "m", "c", excerpt=line).render().splitlines()
    assert len(shown) < 120
    assert shown[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_control_characters_never_reach_the_terminal():
    rendered = Diagnostic(Location("a", 1, 1), "m", "c", excerpt="\x1b[31mred\t").render()
    assert "\x1b" not in rendered


def test_mistakes_are_sorted_and_told_once():
    late, early = (Diagnostic(Location("a", line), "m", "c") for line in (9, 2))
    assert CompileError([late, early, late]).diagnostics == (early, late)


def test_the_nearest_name_or_all_of_few_or_nothing():
    assert did_you_mean("modle", ["model", "name"]) == "did you mean 'model'?"
    assert did_you_mean("zzz", ["model", "name"]) == "one of: model, name"
    assert did_you_mean("zzz", [f"key{n}" for n in range(50)]) is None


def test_the_caret_stands_under_wide_characters():
    line = "name: 東京 modell"
    rendered = Diagnostic(Location("a", 1, 10, 6), "m", "c", excerpt=line).render()
    assert rendered.splitlines()[2] == "    | " + " " * 11 + "^" * 6
    combined = Diagnostic(Location("a", 1, 4, 1), "m", "c", excerpt="e\u0301 x").render()
    assert combined.splitlines()[2] == "    |   ^"


def test_nothing_reaches_the_terminal_that_it_would_act_on():
    place = Location("agents/\x1b[2J\x9b.yaml")
    diagnostic = Diagnostic(
        place, "m\x07", "c", hint="h\u202e", excerpt="\x9b\udc80", related=((place, "n\r"),)
    )
    assert all(c.isprintable() or c == "\n" for c in diagnostic.render())


def test_colour_marks_the_code_and_the_caret_and_changes_no_text():
    diagnostic = Diagnostic(Location("a", 1, 2), "m", "code", hint="h", excerpt="xy")
    coloured = diagnostic.render(colour=True)
    assert "\x1b[31m[code]\x1b[0m" in coloured
    assert "\x1b[31m^\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == diagnostic.render()
