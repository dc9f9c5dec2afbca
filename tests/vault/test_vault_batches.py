"""A batch of n is n batches of one for cards too: kept, erased, forgotten, rewrapped, under fresh and used keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from caudal.kernel.commit import Due
from caudal.vault.commands import CreateInstrument, DeleteInstrument, ForgetCode, RewrapInstrument
from caudal.vault.model import InstrumentRecord
from tests.payins.books import wrong_in
from tests.payins.story import AT, Story, id_of
from tests.payins.test_batch_equals_sequential import play

TABLES = ("instrument", "event", "due", "key", "shard")


class CardStory(Story):
    """Two merchants and their cards; the sealed bytes are any."""

    def __init__(self, seed: int, length: int) -> None:
        super().__init__(seed, 0)
        self.cards: list[tuple[int, int]] = []
        verbs = [self.keep] * 6 + [self.erase] * 2 + [self.forget] * 2 + [self.rewrap] * 2
        while len(self.commands) < length:
            self.random.choice(verbs)()

    def keep(self) -> None:
        slot, number = self.random.choice((1, 2)), self._next()
        used = self.random.choice(self.cards)[0] if self.cards and self.random.random() < 0.2 else None
        code = b"code" if self.random.random() < 0.7 else None
        key = None if self.random.random() < 0.2 else self._key(slot * 2, used)
        self.cards.append((number, slot))
        command = CreateInstrument(
            record=card(number, slot, code), key_digest=bytes([slot]) * 32, key=key, request_id=f"req_{number}"
        )
        self.commands.append(command)

    def erase(self) -> None:
        number, slot = self._any()
        book = self.random.choice((slot * 2, slot * 2, 6 - slot * 2))
        more: dict[str, Any] = {"key": self._key(book), "request_id": f"req_{self._next()}"}
        self.commands.append(
            DeleteInstrument(id=id_of(9, number), book=book, key_digest=bytes([book // 2]) * 32, **more)
        )

    def forget(self) -> None:
        number, slot = self._any()
        due = Due(at=AT + timedelta(hours=1), kind="instrument.forget_code", subject=id_of(9, number), book=slot * 2)
        self.commands.append(ForgetCode(due=due))

    def rewrap(self) -> None:
        number, slot = self._any()
        fresh: dict[str, Any] = {"key_id": "new", "wrapped": b"w2"}
        version = self.random.choice((1, 1, 2))
        self.commands.append(RewrapInstrument(id=id_of(9, number), book=slot * 2, version=version, **fresh))

    def _any(self) -> tuple[int, int]:
        return self.random.choice(self.cards[-12:]) if self.cards else (0, 1)


def card(number: int, slot: int, code: bytes | None) -> InstrumentRecord:
    return InstrumentRecord(
        id=id_of(9, number),
        book=slot * 2,
        version=1,
        type="card",
        brand="visa",
        bin="41111111",
        last4="1111",
        expiry_month=12,
        expiry_year=2040,
        country=None,
        holder=b"h",
        key_id="old",
        wrapped=b"w",
        sealed=b"s",
        code=code,
        code_until=None,
        created_at=AT,
        deleted_at=None,
    )


async def rows_of(database_url: str, shard: int) -> dict[str, list[str]]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        out = {}
        for table in TABLES:
            column = "id" if table == "shard" else "shard"
            query = f"select (to_jsonb(t) - '{column}')::text from {table} t where t.{column} = %s order by 1"
            out[table] = [row[0] for row in await (await connection.execute(query.encode(), (shard,))).fetchall()]
        return out


async def test_cards_in_a_batch_are_cards_one_by_one(database_url: str) -> None:
    story = CardStory(seed=3, length=300).commands
    told: dict[int, list[str]] = {}
    rows: dict[int, dict[str, list[str]]] = {}
    for shard, size in enumerate((1, 7, 64)):
        told[size] = await play(database_url, shard, story, size)
        rows[size] = await rows_of(database_url, shard)
    outcomes = " ".join(told[1])
    for word in ("201 False", "201 True", "200 False", "not_found", "forbidden_transition", "bool True", "bool False"):
        assert word in outcomes, word
    assert not [one for one in told[1] if one.startswith("Fault")]
    assert all(rows[1][table] for table in TABLES)
    for size in (7, 64):
        assert told[size] == told[1] and rows[size] == rows[1], size
    assert {line.partition(" ")[0] for line in await wrong_in(database_url)} <= {"code_kept_too_long"}  # AT is past
