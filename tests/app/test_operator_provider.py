"""`caudal operator provider …` against a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from caudal.app.overrides import provider
from tests.conftest import KEK

Caudal = Callable[..., Result]


@pytest.fixture
def caudal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Caudal:
    monkeypatch.setenv("CAUDAL_DATABASE_URL", database_url)
    monkeypatch.setenv("CAUDAL_KEK", KEK)
    monkeypatch.setenv("CAUDAL_PROVIDER_SECRET_TEST", "quiet river")
    return lambda *words: CliRunner().invoke(provider, list(words), catch_exceptions=False)


def made(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_provider_is_forced_and_drained_and_the_trail_says_by_whom(caudal: Caudal, database_url: str) -> None:
    until = "2090-11-27T14:00:00+01:00"
    forced = made(caudal("force", "sandbox", "open", "--reason", "their incident", "--until", until, "--json"))
    assert (forced["forced"], forced["forced_until"]) == ("open", "2090-11-27T13:00:00.000000Z")
    drained = made(caudal("drain", "sandbox", "--reason", "maintenance", "--json"))
    assert (drained["forced"], drained["drained"]) == ("open", True)
    assert "their incident" in caudal("list").stdout
    assert made(caudal("drain", "sandbox", "--reason", "over", "--end", "--json"))["drained"] is False
    assert made(caudal("force", "sandbox", "automatic", "--reason", "over", "--json"))["forced"] is None
    with psycopg.connect(database_url) as connection:
        entries = connection.execute("select actor like 'cli:%', action, subject from audit order by at").fetchall()
    actions = ["provider.forced", "provider.drained", "provider.drained", "provider.forced"]
    assert entries == [(True, action, "sandbox/test") for action in actions]


WRONG = [
    ("force norte open --reason why", "there is no test provider 'norte'; there are: sandbox"),
    ("force sandbox open --reason why --mode live", "there is no live provider 'sandbox'; there are: none"),
    ("force sandbox ajar --reason why", "'ajar' is none of open, closed, automatic"),
    ("force sandbox open --reason w", "a reason has 3 to 1000 characters"),
    ("force sandbox open --reason why --until tomorrow", "'tomorrow' is no time"),
    ("force sandbox open --reason why --until 2030-01-01T00:00:00", "is no time of RFC 3339 with a zone"),
    ("force sandbox open --reason why --until 2020-01-01T00:00:00Z", "/until: this time has passed"),
    ("drain sandbox --reason why --mode both", "'both' is neither test nor live"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_is_wrong_is_one_sentence(caudal: Caudal, words: str, said: str) -> None:
    result = caudal(*words.split())
    assert result.exit_code == 2 and said in result.stderr
