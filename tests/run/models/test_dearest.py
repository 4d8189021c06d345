"""The most that one answer of a route may take, and what one took that was cut."""

from dataclasses import replace

import pytest

from retinue.route import Price
from retinue.run.models.dearest import cut_off, dearest
from retinue.testing import route

CHEAP, DEAR = Price(input=1.0, output=2.0), Price(input=3.0, output=4.0, cache_write=5.0)
BOUND = {"max_tokens": 1_000_000}


def test_it_is_that_of_the_dearest_and_the_longest():
    short = route("x/short", settings={"max_completion_tokens": 500_000}, price=DEAR)
    most = dearest(route("x/long", settings=BOUND, price=CHEAP, fallbacks=(short,)), 1_000_000)
    assert most is not None
    assert (most.input_tokens, most.output_tokens) == (1_000_000, 1_000_000)
    assert most.cost_usd == pytest.approx(5.0)


def test_a_prompt_that_is_cached_costs_its_writing():
    most = dearest(route("x/m", settings=BOUND, price=DEAR, prompt_caching=True), 1_000_000)
    assert most is not None
    assert most.cost_usd == pytest.approx(9.0)


def test_the_length_is_what_is_known_of_the_model():
    most = dearest(route("openai/gpt-4o"), 10)
    assert most is not None
    assert most.output_tokens == 16_384


def test_a_model_that_nothing_is_known_of_has_no_bound():
    assert dearest(route("x/unheard-of"), 10) is None


def test_without_a_price_only_the_cost_is_unknown():
    most = dearest(route("x/unheard-of", settings=BOUND), 10)
    assert most is not None
    assert most.cost_usd is None


def test_what_was_cut_is_priced_as_the_dearest_of_the_route_itself():
    dear = route("x/dear", price=DEAR)
    cheap = route("x/cheap", price=CHEAP)
    both = replace(dear, deployments=(*cheap.deployments, *dear.deployments))
    fallback = route("x/far", price=Price(input=100.0, output=100.0))
    used = cut_off(replace(both, fallbacks=(fallback,)), 1_000_000, 500_000)
    assert (used.input_tokens, used.output_tokens) == (1_000_000, 500_000)
    assert used.cost_usd == pytest.approx(5.0)
    assert cut_off(route("x/unheard-of"), 10, 10).cost_usd is None
