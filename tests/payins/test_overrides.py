"""Operators force a provider's breaker and drain providers, which every process counts, also after a restart."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from caudal.connectors import NotFound, PaymentQuery, Unresolved, health, links, of
from caudal.contracts.problems import PROBLEMS
from caudal.kernel.clock import rfc3339, wall_clock
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.merchants import first_merchant
from caudal.payins import calls
from tests.api import Answered
from tests.conftest import settings_of
from tests.connectors.provider import Provider
from tests.payins.cast import SECRET, Merchant, key_of

FILE = """
[[provider]]
name = "norte"
url = "{norte}"
secret = "quiet river"

[[provider]]
name = "sur"
url = "{sur}"
secret = "quiet river"
methods = ["card", "pix"]
"""


@pytest.fixture
async def norte() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def sur() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def context(database_url: str, tmp_path: Path, norte: Provider, sur: Provider) -> AsyncIterator[Context]:
    (tmp_path / "providers.toml").write_text(FILE.format(norte=norte.url, sur=sur.url))
    settings = settings_of(database_url, providers=str(tmp_path / "providers.toml"))
    async with Context(settings, name="test") as opened:
        yield opened


@pytest.fixture
async def ana(context: Context, olga: str) -> Merchant:
    return Merchant(context, *await first_merchant(context, "Ana", "MX"), olga)


async def force(ana: Merchant, breaker: str, provider: str = "norte", **more: Any) -> Answered:
    named = {"idempotency": more.pop("idempotency", "")}
    body = {"breaker": breaker, "reason": "their incident", **more}
    return await ana.post(f"/v1/operator/providers/{provider}/forcings", body, key=ana.olga, **named)


async def drain(ana: Merchant, drained: bool = True, provider: str = "norte", **more: Any) -> Answered:
    body = {"drained": drained, "reason": "maintenance", **more}
    return await ana.post(f"/v1/operator/providers/{provider}/drains", body, key=ana.olga)


async def shown(ana: Merchant, provider: str = "norte") -> dict[str, Any]:
    told = (await ana.get("/v1/operator/providers", key=ana.olga)).json["data"]
    [found] = [one for one in told if one["provider"] == provider]
    return dict(found)


async def test_a_drained_provider_gets_no_new_payments_and_everything_else_goes_on(
    ana: Merchant, norte: Provider, sur: Provider
) -> None:
    before = await ana.pix()
    answered = await drain(ana)
    assert answered.status == 201
    assert (answered.json["drained"], answered.json["drained_reason"]) == (True, "maintenance")
    after = await ana.pix()
    assert key_of(before) in norte.payments and key_of(after) in sur.payments
    norte._by_payer(key_of(before), "pay")
    assert (await ana.told("pix", "payment", norte.payments[key_of(before)], provider="norte")).status == 200
    assert (await ana.seen(before))["status"] == "paid"
    assert (await ana.refund(before, 50)).json["status"] == "succeeded", "it is asked for what it has"
    assert norte.payments[key_of(before)]["refunded"] == 50
    assert (await shown(ana))["drained"] is True and (await shown(ana, "sur"))["drained"] is False
    assert (await drain(ana, False)).json["drained_reason"] is None
    assert key_of(await ana.pix()) in norte.payments


async def test_a_method_whose_only_provider_is_drained_is_not_available_for_now(ana: Merchant) -> None:
    await drain(ana)
    answered = await ana.ask("mpesa")
    assert (answered.status, answered.code) == (503, "provider_unavailable")
    told = (answered.json["title"], answered.json["detail"])
    assert told == ("The provider is not available", "no provider of mpesa takes payments at the moment")
    assert "an operator has drained it" in PROBLEMS[answered.code].meaning, "and so its page of errors says"


async def test_forced_open_nobody_is_asked_until_it_is_automatic_again(
    ana: Merchant, context: Context, norte: Provider, sur: Provider
) -> None:
    assert (await force(ana, "open")).json["forced"] == "open"
    payin = await ana.pix()
    assert key_of(payin) in sur.payments and norte.asked == []
    query = PaymentQuery(key=key_of(payin), account="1", mode="test", amount_minor=10_000, currency="BRL")
    assert isinstance(await of(context, "norte", "pix").payment(query), Unresolved) and norte.asked == []
    answered = await force(ana, "automatic")
    assert (answered.json["forced"], answered.json["forced_reason"]) == (None, None)
    assert await of(context, "norte", "pix").payment(query) == NotFound()


async def test_until_a_time_and_not_longer(ana: Merchant, context: Context) -> None:
    until = rfc3339(wall_clock() + timedelta(hours=1))
    assert (await force(ana, "open", until=until)).json["forced_until"] == until
    assert (await shown(ana))["forced"] == "open"
    await context.rows("update provider_override set forced_until = now() - interval '1 s' returning 1")
    await calls.refresh(context)
    assert (await shown(ana))["forced"] is None


async def test_forcing_and_draining_leave_each_other_alone(ana: Merchant) -> None:
    await force(ana, "closed")
    await drain(ana)
    told = await shown(ana)
    assert (told["forced"], told["drained"]) == ("closed", True)
    await force(ana, "automatic")
    told = await shown(ana)
    assert (told["forced"], told["drained"]) == (None, True)


async def test_every_process_counts_it_and_so_does_one_that_starts(ana: Merchant, context: Context) -> None:
    async with Context(context.settings, name="another") as other:
        await calls.watch(other)
        assert [one.drained for one in health(other)] == [False, False, False], "two providers and a bank"
        await drain(ana)
        await calls.refresh(other)  # which its watch does twice a second
        assert [one.drained for one in health(other)] == [True, False, False]
    async with Context(context.settings, name="later") as later:
        await calls.watch(later)
        assert [one.drained for one in health(later)] == [True, False, False]


async def test_what_was_decided_goes_on_counting_while_the_database_is_away(
    ana: Merchant, context: Context, database_url: str
) -> None:
    await drain(ana)
    await context.pool.close()
    with pytest.raises(Retry):
        await calls.refresh(context)
    assert [link.around.welcomes() for link in links(context)] == [False, True, True]


async def test_who_decided_what_and_why_is_in_the_trail(ana: Merchant) -> None:
    await force(ana, "open")
    await drain(ana, mode="test")
    entries = (await ana.get("/v1/operator/audit?limit=2", key=ana.olga)).json["data"]
    assert [(one["action"], one["subject"]) for one in entries] == [
        ("provider.drained", "norte/test"),
        ("provider.forced", "norte/test"),
    ]
    assert entries[1]["detail"]["reason"] == "their incident" and entries[1]["actor"].startswith("operator_")


async def test_a_repetition_gets_the_same_answer_and_changes_nothing(ana: Merchant) -> None:
    first = await force(ana, "open", idempotency="f-1")
    await force(ana, "automatic")
    again = await force(ana, "open", idempotency="f-1")
    assert again.body == first.body and (await shown(ana))["forced"] is None


# Operation, body, what is refused
REFUSED = """
forcings  {"reason": "why"}                                                             /breaker   missing
forcings  {"breaker": "ajar", "reason": "why"}                                          /breaker   invalid_value
forcings  {"breaker": "open"}                                                           /reason    missing
forcings  {"breaker": "open", "reason": "w"}                                            /reason    invalid_value
forcings  {"breaker": "open", "reason": "why", "mode": "both"}                          /mode      invalid_value
forcings  {"breaker": "open", "reason": "why", "until": "tomorrow"}                     /until     invalid_value
forcings  {"breaker": "open", "reason": "why", "until": "2020-01-01T00:00:00Z"}         /until     in_the_past
forcings  {"breaker": "automatic", "reason": "why", "until": "2090-01-01T00:00:00Z"}    /until     contradiction
forcings  {"breaker": "open", "reason": "why", "until": "9999-12-31T23:59:59-23:59"}    /until     too_far
forcings  {"breaker": "open", "reason": "why", "untill": null}                          /untill    unknown_field
drains    {"reason": "why"}                                                             /drained   missing
drains    {"drained": "yes", "reason": "why"}                                           /drained   invalid_type
drains    {"drained": true, "reason": 7}                                                /reason    invalid_type
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
async def test_what_is_wrong_is_named(ana: Merchant, line: str) -> None:
    what, rest = line.split(maxsplit=1)
    body, field, code = rest.rsplit(maxsplit=2)
    answered = await ana.post(f"/v1/operator/providers/norte/{what}", json.loads(body), key=ana.olga)
    assert (answered.status, answered.fields) == (422, {field: code})


@pytest.mark.parametrize(("provider", "mode"), [("oeste", "test"), ("norte", "live"), ("Norte", "test")])
async def test_a_provider_that_is_not_configured_is_not_found(ana: Merchant, provider: str, mode: str) -> None:
    assert (await force(ana, "open", provider, mode=mode)).status == 404
    assert (await drain(ana, True, provider, mode=mode)).status == 404


async def test_only_operators_may(ana: Merchant) -> None:
    for what, body in (("forcings", {"breaker": "open"}), ("drains", {"drained": True})):
        path = f"/v1/operator/providers/norte/{what}"
        answered = await ana.post(path, {**body, "reason": "why"})
        assert (answered.status, answered.code) == (401, "unauthenticated")
        answered = await ana.post(path, {**body, "reason": "why"}, key=ana.olga, idempotency=None)
        assert answered.fields == {"Idempotency-Key": "missing"}
    assert (await ana.get("/v1/operator/metrics")).status == 401


async def test_a_callback_of_a_provider_that_does_not_carry_the_payment_is_written_down(
    ana: Merchant, norte: Provider
) -> None:
    payin = await ana.pix()
    told = {**norte.payments[key_of(payin)], "status": "paid", "captured": 10_000, "action": None}
    assert (await ana.told("pix", "payment", told, provider="sur")).status == 200
    assert (await ana.seen(payin))["status"] == "pending"
    [odd] = await ana.odd()
    assert (odd["provider"], odd["kind"], odd["payin"]) == ("sur", "other_account", payin["id"])
    second = {**told, "key": key_of(payin) + "-2"}
    assert (await ana.told("pix", "payment", second, provider="norte")).status == 200, "there was no second attempt"
    assert [one["kind"] for one in await ana.odd()] == ["other_account"] * 2
    assert (await ana.seen(payin))["status"] == "pending"
    assert (await ana.told("pix", "payment", told, provider="norte", secret="another")).status == 401
    assert (await ana.told("pix", "payment", told, provider="norte")).status == 200
    assert (await ana.seen(payin))["status"] == "paid"
    assert SECRET == "quiet river", "both sign with it: a name alone says who speaks"


async def test_the_metrics_are_a_page_for_prometheus(ana: Merchant) -> None:
    await ana.pix()
    await drain(ana)
    await force(ana, "closed")
    answered = await ana.get("/v1/operator/metrics", key=ana.olga)
    assert answered.status == 200 and answered.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answered.body.decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert len(samples) == sum(not line.startswith("#") for line in lines), "no sample twice"
    norte = 'caudal_provider="norte",caudal_mode="test"'
    assert samples[f"caudal_provider_calls_total{{{norte}}}"] == "1"
    assert samples[f'caudal_provider_breaker_state{{{norte},caudal_state="closed"}}'] == "1"
    assert samples[f'caudal_provider_breaker_state{{{norte},caudal_state="open"}}'] == "0"
    assert samples[f'caudal_provider_forced{{{norte},caudal_state="closed"}}'] == "1"
    assert samples[f"caudal_provider_drained{{{norte}}}"] == "1"
    asked = f'{norte},caudal_method="pix",caudal_operation="submit",caudal_outcome="answered"'
    assert samples[f'caudal_provider_call_duration_seconds_bucket{{{asked},le="+Inf"}}'] == "1"
    assert samples[f"caudal_provider_call_duration_seconds_count{{{asked}}}"] == "1"
    assert float(samples['caudal_commit_batches_total{caudal_shard="0",caudal_outcome="committed"}']) > 3
    assert samples['caudal_commit_queue_length{caudal_shard="0",caudal_lane="normal"}'] == "0"
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {re.sub("_(bucket|sum|count)$", "", name.partition("{")[0]) for name in samples} <= named | {
        "db_client_connection"  # whose own name ends with `_count`
    }
