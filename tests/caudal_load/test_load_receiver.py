"""The merchant's server of a run: every event once, its lag, and whether it is signed."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from caudal_load import receiver as receiving
from caudal_load.receiver import Receiver, secret_of

SECRET = "whsec_" + base64.b64encode(b"quiet river").decode()


def event(number: int, ago_s: float = 0.0) -> bytes:
    """An event's envelope, with the fields of others in its data."""
    at = (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    body = {"id": f"evt_{number:032x}", "type": "payin.paid", "time": at, "sequence": str(number)}
    return json.dumps(body | {"data": {"sequence": "7"}}, separators=(",", ":")).encode()


def headers(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """As the Standard Webhooks specification has them."""
    signed = hmac.digest(secret_of(secret), b"evt_1.1795456800." + body, "sha256")
    signature = "v1," + base64.b64encode(signed).decode()
    return {"webhook-id": "evt_1", "webhook-timestamp": "1795456800", "webhook-signature": signature}


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Receiver, aiohttp.ClientSession]]:
    receiver = Receiver()
    receiver.secrets = [secret_of(SECRET)]
    async with aiohttp.ClientSession(await receiver.start()) as session:
        yield receiver, session
    await receiver.end()


async def told(session: aiohttp.ClientSession, body: bytes, **more: str) -> int:
    async with session.post("/0", data=body, headers=headers(body) | more) as answer:
        return answer.status


async def test_every_event_is_counted_once_and_repetitions_apart() -> None:
    async with listening() as (receiver, session):
        for number in (1, 2, 2, 3):
            assert await told(session, event(number)) == 204
    assert (receiver.events, receiver.repeated, receiver.unreadable) == ({(0, 1), (0, 2), (0, 3)}, 1, 0)


async def test_events_of_two_shards_with_one_number_are_two() -> None:
    async with listening() as (receiver, session):
        receiver.secrets *= 2
        body = event(7)
        for path in ("/0", "/1", "/1"):
            async with session.post(path, data=body, headers=headers(body)) as answer:
                assert answer.status == 204
    assert (receiver.events, receiver.repeated, receiver.unreadable) == ({(0, 7), (1, 7)}, 1, 0)


async def test_the_lag_is_from_the_event_to_its_arrival_and_recorded_while_it_is_measured() -> None:
    async with listening() as (receiver, session):
        await told(session, event(1, ago_s=60))
        receiver.measured = True
        await told(session, event(2, ago_s=3))
    assert receiver.lag.total == 1
    assert (receiver.lag.percentile_ns(100) or 0) / 1e9 == pytest.approx(3, rel=0.2)


async def test_a_wrong_signature_of_the_sample_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SAMPLE", 2)
    async with listening() as (receiver, session):
        for number in range(4):
            await told(session, event(number), **{"webhook-signature": "v1,AAAA"})
    assert (receiver.unreadable, receiver.events) == (2, {(0, 1), (0, 3)})


async def test_what_is_no_event_is_counted_and_answered() -> None:
    async with listening() as (receiver, session):
        assert await told(session, b"{}") == 204
    assert (receiver.unreadable, receiver.events) == (1, set())


async def test_messages_come_in_pieces_and_several_at_once() -> None:
    async with listening() as (receiver, session):
        one, two = (
            b"POST /0 HTTP/1.1\r\nContent-Length: %d\r\n" % len(body)
            + b"".join(f"{name}: {value}\r\n".encode() for name, value in headers(body).items())
            + b"\r\n"
            + body
            for body in (event(1), event(2))
        )
        url = session._base_url
        assert url is not None
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(one + two[:40])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.write(two[40:])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
    assert receiver.events == {(0, 1), (0, 2)}
