"""A database that is away costs no waiting."""

import pytest

from retinue.errors import StoreDownError
from retinue.store.breaker import Breaker


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_one_call_at_a_time_finds_out_and_ever_more_rarely():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    pauses = []
    for _ in range(7):
        breaker.check()
        pauses.append(breaker.failed().retry_after)
        with pytest.raises(StoreDownError) as refused:
            breaker.check()
        assert refused.value.retry_after == pauses[-1]
        clock.now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_the_others_do_not_wait_for_the_one_that_finds_out():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.failed()
    clock.now += 1
    breaker.check()
    with pytest.raises(StoreDownError):
        breaker.check()
    breaker.succeeded()
    breaker.check()
    assert not breaker.down


def test_a_call_that_never_ends_does_not_keep_it_shut():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.failed()
    clock.now += 1
    breaker.check()
    clock.now += 5
    breaker.check()
