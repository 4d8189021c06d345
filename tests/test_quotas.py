"""Amounts for windows of time: what they say, what they are refused for, and where windows end."""

from datetime import UTC, datetime

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.quotas import NANO, Quota, QuotaError, quota

UNITS = ("second", "minute", "hour", "day", "month", "year")


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "kind, text, expected",
    [
        ("rate", "60/minute", Quota("rate", 60, 1, "minute")),
        ("rate", " 2 per 2 Hours ", Quota("rate", 2, 2, "hour")),
        ("rate", "1/10seconds", Quota("rate", 1, 10, "second")),
        ("tokens", "1000000/day", Quota("tokens", 1_000_000, 1, "day")),
        ("usd", "5.00/day", Quota("usd", 5 * NANO, 1, "day")),
        ("usd", "0.000000001/month", Quota("usd", 1, 1, "month")),
        ("usd", "100 per year", Quota("usd", 100 * NANO, 1, "year")),
    ],
)
def test_what_is_written_so(kind, text, expected):
    assert quota(kind, text) == expected


@pytest.mark.parametrize(
    "kind, text, why",
    [
        ("rate", "", "write a number and a time, such as 60/minute"),
        ("rate", "often", "write a number and a time"),
        ("rate", "60", "write a number and a time"),
        ("rate", "60/fortnight", "write a number and a time"),
        ("rate", "1/minute;5/hour", "write a number and a time"),
        ("rate", "-1/minute", "write a number and a time"),
        ("rate", "1.5/minute", "'1.5' is no whole number"),
        ("rate", "0/minute", "lets nothing through"),
        ("rate", "1/0 minutes", "write 1 to 1000 minutes"),
        ("rate", "1/1001 years", "write 1 to 1000 years"),
        ("tokens", "9999999999999999/day", "too many digits"),
        ("tokens", "1e6/day", "such as 1000000/day"),
        ("usd", "five/day", "such as 5.00/day"),
        ("usd", "$5/day", "such as 5.00/day"),
        ("usd", "0.00/day", "lets nothing through"),
        ("usd", "0.0000000001/day", "too many digits"),
        ("usd", "2000000000/day", "too many digits"),
    ],
)
def test_what_is_not(kind, text, why):
    with pytest.raises(QuotaError) as told:
        quota(kind, text)
    assert why in str(told.value)
    assert text[:100] in str(told.value)


@given(st.text(max_size=300), st.sampled_from(("rate", "tokens", "usd")))
def test_any_text_is_one_or_is_refused(text, kind):
    try:
        assert quota(kind, text).amount > 0
    except QuotaError as told:
        assert len(str(told)) < 300


@given(
    st.integers(1, 10**15),
    st.sampled_from(("/", " per ", " / ")),
    st.none() | st.integers(1, 1000),
    st.sampled_from(UNITS),
    st.sampled_from(("", "s")),
)
def test_a_rate_is_what_the_limits_library_takes_it_for(amount, per, count, unit, plural):
    text = f"{amount}{per}{count or ''} {unit}{plural}"
    found, known = quota("rate", text), limits.parse(text)
    assert (found.amount, found.count) == (known.amount, known.multiples)
    assert found.unit == known.GRANULARITY.name


@given(
    st.floats(0, moment("2200-01-01")),
    st.sampled_from(UNITS),
    st.integers(1, 1000),
)
def test_windows_follow_on_each_other(now, unit, count):
    one = Quota("rate", 1, count, unit)
    window = one.window(now)
    assert now < window.end
    assert one.window(window.end).index == window.index + 1
    # The last moment that a float tells from the end, at these sizes.
    assert one.window(window.end - 0.001).index == window.index


def test_days_and_months_end_as_a_calendars_do():
    now = moment("2026-02-10T12:00")
    ends = {unit: Quota("usd", 1, 1, unit).window(now).end for unit in ("day", "month", "year")}
    assert ends == {
        "day": moment("2026-02-11"),
        "month": moment("2026-03-01"),
        "year": moment("2027-01-01"),
    }
    assert Quota("usd", 1, 3, "month").window(now).end == moment("2026-04-01")
