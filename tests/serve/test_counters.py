"""Where limits are counted: what the environment says, and a real Redis."""

import asyncio
import time

import pytest

from retinue.serve.counters import CountersError, counters_for, redis_url
from retinue.serve.tally import Charge
from retinue.store.address import Address

STORE = Address(url="postgresql://db/x")


@pytest.mark.parametrize(
    "env, url",
    [
        ({}, None),
        ({"REDIS_URL": " "}, None),
        ({"REDIS_PORT": "6379"}, None),
        ({"REDIS_URL": "rediss://me:pass@cache:6380/1"}, "rediss://me:pass@cache:6380/1"),
        ({"REDIS_URL": "redis+cluster://a:1,b:2"}, "redis+cluster://a:1,b:2"),
        ({"REDIS_URL": "redis+sentinel://a:1,b:2/main"}, "redis+sentinel://a:1,b:2/main"),
        ({"REDIS_URL": "redis+unix:///run/redis.sock"}, "redis+unix:///run/redis.sock"),
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0"),
        ({"REDIS_HOST": "fd00::1"}, "redis://[fd00::1]:6379/0"),
        (
            {"REDIS_HOST": "cache", "REDIS_PORT": "1", "REDIS_PASSWORD": "p@/:s", "REDIS_DB": "2"},
            "redis://:p%40%2F%3As@cache:1/2",
        ),
        (
            {
                "REDIS_HOST": "cache",
                "REDIS_USERNAME": "me",
                "REDIS_PASSWORD": "p",
                "REDIS_SSL": "True",
            },
            "rediss://me:p@cache:6379/0",
        ),
    ],
)
def test_which_redis(env, url):
    assert redis_url(env) == url


@pytest.mark.parametrize(
    "env",
    [
        {"REDIS_URL": "secret-host:6379"},
        {"REDIS_URL": "http://secret-host"},
        {"REDIS_URL": "redis://"},
        {"REDIS_URL": "redis://secret-host:port"},
        {"REDIS_HOST": "secret-host", "REDIS_PORT": "many"},
    ],
)
def test_what_is_no_redis_is_told_and_not_shown(env):
    with pytest.raises(CountersError, match="is no address of a Redis: write") as told:
        redis_url(env)
    assert "secret" not in str(told.value)


def test_redis_comes_before_the_store_and_both_are_optional():
    pytest.importorskip("redis")
    assert counters_for({"REDIS_HOST": "cache"}, STORE).name == "Redis"
    assert counters_for({}, STORE).name == "PostgreSQL"
    assert counters_for({}, None) is None


async def test_in_a_redis_each_hears_the_sum_of_all(redis):
    now = time.time()
    place = counters_for({"REDIS_URL": redis.url}, None)
    here, there = await place.open(), await place.open()
    assert await here.add([Charge("a", 1, now + 60)]) == [1]
    charges = [Charge("b", 10**18, now + 60), Charge("a", 2, now + 60)]
    assert await there.add(charges) == [10**18, 3]
    assert await here.add([Charge("a", 0, now + 60), Charge("b", 1, now + 60)]) == [3, 10**18 + 1]
    await asyncio.gather(*(one.add([Charge("c", 1, now + 60)]) for one in [here, there] * 20))
    assert await here.add([Charge("c", 0, now + 60)]) == [40]
    await here.forget(now)
    client = here._client
    assert 60 < await client.ttl("retinue:a") <= 121
    for one in (here, there):
        await one.aclose()


async def test_a_redis_that_was_restarted_is_found_again(redis):
    now = time.time()
    from redis.exceptions import RedisError

    place = counters_for({"REDIS_URL": redis.url}, None)
    counters = await place.open()
    assert await counters.add([Charge("a", 1, now + 60)]) == [1]
    redis.kill()
    with pytest.raises(RedisError):
        await counters.add([Charge("a", 1, now + 60)])
    redis.start()
    assert await counters.add([Charge("a", 1, now + 60)]) == [1]
    await counters.aclose()
