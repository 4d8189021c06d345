"""Sums of one process: of a number of names, until their windows are over."""

from retinue.serve.tally import Charge, Tally


def test_it_adds_up_and_learns_better():
    tally = Tally()
    assert tally.add(Charge("a", 2, 10.0)) == 2
    assert tally.add(Charge("a", 3, 10.0)) == 5
    tally.learn(Charge("a", 40, 10.0))
    assert tally.add(Charge("a", 1, 10.0)) == 41
    assert tally.sum("b") == 0
    assert tally.charges == (Charge("a", 41, 10.0),)


def test_what_is_over_is_forgotten():
    tally = Tally()
    tally.add(Charge("old", 1, 10.0))
    tally.add(Charge("new", 1, 20.0))
    tally.forget(10.0)
    assert [charge.name for charge in tally.charges] == ["new"]


def test_it_holds_so_many_names_and_no_more():
    tally = Tally(most=3)
    for name in "abcda":
        tally.add(Charge(name, 1, 10.0))
    assert [charge.name for charge in tally.charges] == ["c", "d", "a"]
