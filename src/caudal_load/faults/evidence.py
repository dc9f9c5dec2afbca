"""What the checks look at, all of it read once when all is quiet, and kept: rows, statements, history and messages.

Rows are read in one snapshot. Ids are 32 hexadecimal digits, bytes are hexadecimal, times are microseconds since 1970,
amounts are minor units. A check is a function of this and of nothing else, so a kept run can be checked again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
import msgspec
import psycopg

from caudal_load.faults import hearing, history
from caudal_load.faults.hearing import Heard
from caudal_load.faults.history import Line


class Shard(NamedTuple):
    shard: int
    event_seq: int
    posting_seq: int
    chain: str


class Transfer(NamedTuple):
    shard: int
    seq: int
    group_seq: int
    debit_account: int
    credit_account: int
    amount: int
    at_us: int
    timeout_s: int
    kind: int
    flags: int
    id: str
    pending_id: str | None
    subject: str | None
    code: str
    hash: str


class Entry(NamedTuple):
    shard: int
    account: int
    version: int
    seq: int
    amount: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    side: int
    kind: int
    flags: int
    fact: bool


class Account(NamedTuple):
    shard: int
    id: int
    version: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


class Event(NamedTuple):
    shard: int
    seq: int
    at_us: int
    book: int
    subject: str
    type: str


class Key(NamedTuple):
    digest: str
    subject: str | None
    status: int | None
    answer: str | None


class PayinRow(NamedTuple):
    id: str
    book: int
    status: str
    method: str
    currency: str
    amount: int
    reference: str | None
    received: int
    authorized: int
    captured: int
    refunded: int
    disputed: int


class Change(NamedTuple):
    payin: str
    number: int
    event: str
    status: str


class Operation(NamedTuple):
    id: str
    payin: str
    kind: str
    status: str
    amount: int


class Deposit(NamedTuple):
    id: str
    provider: str
    tracking_key: str
    payin: str | None
    amount: int
    returning: int
    returned: int


class Endpoint(NamedTuple):
    id: str
    book: int
    status: str
    created_at_us: int


class Delivery(NamedTuple):
    endpoint: str
    event_seq: int
    status: str
    attempts: int


_US = "(extract(epoch from {}) * 1000000)::bigint"
_HEX = "replace({}::text, '-', '')"
_TABLES: dict[str, tuple[type[tuple[Any, ...]], str]] = {
    "shards": (Shard, "select id, event_seq, posting_seq, encode(chain, 'hex') from shard order by id"),
    "transfers": (
        Transfer,
        "select shard, seq, group_seq, debit_account, credit_account, amount_minor, "
        + f"{_US.format('at')}, timeout_s, kind, flags, {_HEX.format('id')}, {_HEX.format('pending_id')},"
        + f" {_HEX.format('subject')}, code, encode(hash, 'hex') from transfer order by shard, seq",
    ),
    "entries": (
        Entry,
        "select shard, account_id, version, seq, amount_minor, debits_pending, debits_posted, credits_pending,"
        " credits_posted, side, kind, flags, fact from entry order by shard, seq, side desc",
    ),
    "accounts": (
        Account,
        "select shard, id, version, debits_pending, debits_posted, credits_pending, credits_posted from account",
    ),
    "events": (
        Event,
        f"select shard, seq, {_US.format('at')}, book, {_HEX.format('subject')}, type from event order by shard, seq",
    ),
    "keys": (
        Key,
        f"select encode(digest, 'hex'), {_HEX.format('subject')}, status, convert_from(answer, 'UTF8') from key",
    ),
    "payins": (
        PayinRow,
        f"select {_HEX.format('id')}, book, status, method, currency, amount_minor, reference, received_minor,"
        " authorized_minor, captured_minor, refunded_minor, disputed_minor from payin order by id",
    ),
    "changes": (
        Change,
        f"select {_HEX.format('payin')}, number, event, status from payin_change order by payin, number",
    ),
    "operations": (
        Operation,
        f"select {_HEX.format('id')}, {_HEX.format('payin')}, kind, status, amount_minor"
        " from payin_operation order by id",
    ),
    "deposits": (
        Deposit,
        f"select {_HEX.format('id')}, provider, tracking_key, {_HEX.format('payin')}, amount_minor, returning_minor,"
        " returned_minor from deposit order by id",
    ),
    "endpoints": (
        Endpoint,
        f"select {_HEX.format('id')}, book, status, {_US.format('created_at')} from webhook_endpoint",
    ),
    "deliveries": (
        Delivery,
        f"select {_HEX.format('endpoint')}, event_seq, status, attempts from webhook_delivery where cause = 'event'",
    ),
}


class Statement(msgspec.Struct, frozen=True):
    """A payment of one of the sandbox's providers. `key` is the payin's id, with `-2` for its second attempt."""

    key: str
    method: str
    status: str
    captured: int
    refunded: int
    held: int = 0
    disputed: int = 0
    provider: str = "sandbox"


class BankLine(msgspec.Struct, frozen=True):
    """A line of the bank's statement: money that came, went back, or was sent."""

    kind: str
    amount: int
    tracking_key: str = ""
    payment_key: str = ""


class Stuck(msgspec.Struct, frozen=True):
    """What did not come to rest: what it is, and which."""

    what: str
    which: str


@dataclass(kw_only=True, slots=True)
class Evidence:
    """Everything that is known of a run."""

    lines: list[Line] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    endpoints_of_cast: list[str] = field(default_factory=list)
    stuck: list[Stuck] = field(default_factory=list)
    statement: list[Statement] = field(default_factory=list)
    bank: list[BankLine] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    payins: list[PayinRow] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    deposits: list[Deposit] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)


async def rows_of(database_url: str, directory: Path) -> None:
    """Read every table in one snapshot into the directory. Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        for name, (_, query) in _TABLES.items():
            async with connection.cursor(name=f"all_{name}", binary=True) as cursor:
                cursor.itersize = 10_000
                await cursor.execute(query.encode())
                with (directory / f"{name}.jsonl").open("wb") as file:
                    async for row in cursor:
                        file.write(msgspec.json.encode(row) + b"\n")


async def moved(database_url: str, directory: Path) -> bool:
    """Whether anything was written since `rows_of` kept the shards: every commit that matters has a number.

    Raises psycopg.Error.
    """
    row, query = _TABLES["shards"]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode())
        return [row(*columns) for columns in await cursor.fetchall()] != _read(directory / "shards.jsonl", row)


async def statements_of(sandbox_url: str, directory: Path) -> None:
    """Read the sandbox's statements into the directory. Raises aiohttp.ClientError."""
    async with aiohttp.ClientSession(sandbox_url) as session:
        for name, path in (("statement", "/v1/provider/statement"), ("bank", "/v1/bank/statement")):
            async with session.get(path, raise_for_status=True) as response:
                (directory / f"{name}.jsonl").write_bytes(await response.read())


T = TypeVar("T")


def write(path: Path, rows: Iterable[object]) -> None:
    """Keep rows, a line each."""
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)


def _read(path: Path, type: type[T]) -> list[T]:
    decoder = msgspec.json.Decoder(type)
    with path.open("rb") as file:
        return [decoder.decode(line) for line in file]


def load(directory: Path) -> Evidence:
    """All that a directory holds of a run. Raises OSError, msgspec.MsgspecError."""
    tables: dict[str, Sequence[Any]] = {
        name: _read(directory / f"{name}.jsonl", row) for name, (row, _) in _TABLES.items()
    }
    return Evidence(
        lines=history.read(directory / "history.jsonl"),
        heard=hearing.read(directory / "heard.jsonl"),
        endpoints_of_cast=_read(directory / "cast.jsonl", str),
        stuck=_read(directory / "stuck.jsonl", Stuck),
        statement=_read(directory / "statement.jsonl", Statement),
        bank=_read(directory / "bank.jsonl", BankLine),
        **tables,  # type: ignore[arg-type]
    )
