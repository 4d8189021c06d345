"""`retinue keys`: keys are made, listed and revoked in the project's store, or another."""

import hashlib
import json
import re
import sqlite3
import time

import pytest

KEY = re.compile(r"rtn-[A-Za-z0-9_-]{43}\n")


def listed(retinue, *words) -> list[dict]:
    done = retinue("keys", "list", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_key_is_shown_once_and_only_its_digest_is_kept(retinue, project):
    done = retinue("keys", "create", "ci", "--expires", "90d", "--rate", "60/minute")
    assert done.returncode == 0, done.stderr
    assert KEY.fullmatch(done.stdout)
    assert "ci  active  scopes=chat  rate=60/minute  expires=" in done.stderr
    assert done.stdout.strip() not in done.stderr
    kept = b"".join(file.read_bytes() for file in (project / ".retinue").iterdir())
    assert done.stdout.strip().encode() not in kept
    (row,) = sqlite3.connect(project / ".retinue" / "state.db").execute("SELECT * FROM api_keys")
    digest = hashlib.sha256(done.stdout.strip().encode()).hexdigest()
    assert row[:2] == (f"key_{digest[:16]}", digest)


def test_what_a_key_is_for_is_listed_and_the_newest_first(retinue):
    words = ("--scope", "logs", "--scope", "chat", "--tokens", "1000/day", "--usd", "0.50/month")
    made = json.loads(retinue("keys", "create", "desk", *words, "-o", "json").stdout)
    assert KEY.fullmatch(made.pop("key") + "\n")
    assert made["scopes"] == ["chat", "logs"]
    assert made["limits"] == {"rate": None, "tokens": "1000/day", "usd": "0.50/month"}
    assert made["created_at"] == pytest.approx(time.time(), abs=60)
    assert retinue("keys", "create", "bot", "--agent", "helper").returncode == 0
    bot, desk = listed(retinue)
    assert (bot["name"], bot["scopes"], bot["agents"]) == ("bot", ["chat"], ["helper"])
    assert desk == made
    assert "desk  active  scopes=chat,logs  tokens=1000/day" in retinue("keys", "list").stdout


def test_a_revoked_key_is_listed_when_it_is_asked_for(retinue):
    retinue("keys", "create", "one")
    retinue("keys", "create", "two")
    (two, one) = listed(retinue)
    done = retinue("keys", "revoke", "one")
    assert (done.returncode, done.stdout.split()[:3]) == (0, [one["id"], "one", "revoked"])
    told = json.loads(retinue("keys", "revoke", two["id"], "-o", "json").stdout)
    assert (told["name"], told["status"]) == ("two", "revoked")
    assert listed(retinue) == []
    assert [key["status"] for key in listed(retinue, "--all")] == ["revoked", "revoked"]
    again = retinue("keys", "revoke", "one")
    assert (again.returncode, "no key 'one'" in again.stderr) == (2, True)


def test_a_store_elsewhere(retinue, project, postgres):
    url = postgres.new_database()
    assert KEY.fullmatch(retinue("keys", "create", "ci", "--store", url).stdout)
    assert [key["name"] for key in listed(retinue, "--store", url)] == ["ci"]
    assert retinue("keys", "revoke", "ci", "--store", url).returncode == 0
    assert listed(retinue, "--store", url) == []
    assert not (project / ".retinue").exists()


def test_looking_makes_no_store(retinue, project):
    assert listed(retinue) == []
    assert retinue("keys", "revoke", "ci").returncode == 2
    assert not (project / ".retinue").exists()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--expires", "soon"], 2, "--expires 'soon' is not a time"),
        (["--expires", "0d"], 2, "--expires, in seconds, must be at least 1"),
        (["--expires", "999999d"], 2, "--expires, in seconds, must be at most"),
        (["--rate", "often"], 2, "--rate must be an amount and a time, such as 60/minute"),
        (["--tokens", "60/minute"], 2, "such as 1000000/day"),
        (["--usd", "0.00/day"], 2, "such as 5.00/day"),
        (["--agent", "nobody"], 2, "--agent must be one of "),
        (["--agent", "helper", "--scope", "logs"], 2, "--agent can be chosen for keys"),
        (["--scope", "all"], 2, "'all' is not one of"),
        (["--store", "off"], 1, "keeps nothing"),
    ],
)
def test_what_can_not_be_meant_is_told_and_nothing_is_made(retinue, project, words, status, says):
    done = retinue("keys", "create", "ci", *words, COLUMNS="200")
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert not (project / ".retinue").exists()


@pytest.mark.parametrize("name", ["", " ", "a\nb", "key_00", "x" * 65, "ci ", "\x1b[31m"])
def test_a_name_that_would_be_hard_to_name(retinue, name):
    done = retinue("keys", "create", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'name' must be 1 to 64" in done.stderr


def test_a_name_is_of_one_key(retinue):
    retinue("keys", "create", "ci")
    done = retinue("keys", "create", "ci")
    assert (done.returncode, done.stdout) == (1, "")
    assert "of the name 'ci' already" in done.stderr
