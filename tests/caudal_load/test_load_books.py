"""caudal's books beside the sandbox's: what was collected, and what became of it."""

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from caudal_load.books import Agreement, Ours, Theirs, compare
from caudal_load.flows import tracking_key
from caudal_load.outside import waiting


def ours(status: str = "paid", received_minor: int = 100) -> Ours:
    return Ours(reference="load-1", method="card", status=status, received_minor=received_minor)


def theirs(collected_minor: int = 100, *, is_paid: bool = True, name: str = "a") -> Theirs:
    return Theirs(name=name, is_paid=is_paid, collected_minor=collected_minor)


@pytest.mark.parametrize(
    ("here", "there", "found"),
    [
        (ours(), [theirs()], Agreement()),
        (ours("declined", 0), [theirs(0, is_paid=False)], Agreement()),
        (ours("pending", 0), [], Agreement()),
        (ours(), [theirs(99)], Agreement(disagreeing=("load-1",))),
        (ours(), [], Agreement(disagreeing=("load-1",))),
        (ours("submitting", 0), [theirs()], Agreement(disagreeing=("load-1",), unpaid=("load-1",))),
        (ours("pending", 100), [theirs()], Agreement(unpaid=("load-1",))),
        (ours(), [theirs(), theirs()], Agreement(twice=("load-1",))),
        (ours(), [theirs(), theirs(name="b")], Agreement(disagreeing=("b",))),
        (ours(), [theirs(), theirs(0, is_paid=False, name="b")], Agreement()),
    ],
)
def test_what_both_books_say(here: Ours, there: list[Theirs], found: Agreement) -> None:
    assert compare({"a": here}, there, "load-") == found


@pytest.mark.parametrize("collected", [[], [theirs(99)], [theirs(), theirs()]])
def test_what_others_ask_of_the_same_caudal_is_not_judged(collected: list[Theirs]) -> None:
    mine = theirs(name="b")
    books = {"a": ours(), "b": replace(ours(), reference="load-2-1")}
    assert compare(books, [*collected, mine], "load-2-") == Agreement()


def test_a_transfer_is_named_by_the_reference_in_letters_and_digits() -> None:
    name = tracking_key("load-0a1b2c3d-00000000001f")
    assert name.isalnum() and len(name) <= 30


async def test_a_capture_that_nobody_has_answered_yet_is_waited_for(database_url: str) -> None:
    payin, lowest = UUID(int=7), UUID(int=0)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "insert into payin (shard, id, book, version, status, method, country, currency, amount_minor,"
            " received_minor, fee_minor, fee_plan, reference, created_at, expires_at)"
            " values (0, %s, 2, 1, 'authorized', 'card', 'BR', 'BRL', 100, 0, 0, 1, 'load-1-1', now(), now())",
            (payin,),
        )
        assert await waiting(connection, lowest, ["submitting"], "load-1-") == 0
        await connection.execute(
            "insert into payin_operation (shard, id, book, payin, version, kind, status, currency, amount_minor,"
            " fee_minor, from_pending_minor, from_available_minor, created_at)"
            " values (0, %s, 2, %s, 1, 'capture', 'pending', 'BRL', 100, 0, 0, 0, now())",
            (payin, payin),
        )
        assert await waiting(connection, lowest, ["submitting"], "load-1-") == 1
        await connection.execute("update payin_operation set status = 'succeeded', settled_at = now()")
        assert await waiting(connection, lowest, ["submitting"], "load-1-") == 0
        assert await waiting(connection, lowest, ["authorized"], "load-1-") == 1
