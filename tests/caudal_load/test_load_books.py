"""caudal's books beside the sandbox's: what was collected, and what became of it."""

import pytest

from caudal_load.books import Agreement, Ours, Theirs, compare
from caudal_load.flows import tracking_key


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
    assert compare({"a": here}, there) == found


def test_a_transfer_is_named_by_the_reference_in_letters_and_digits() -> None:
    name = tracking_key("load-0a1b2c3d-00000000001f")
    assert name.isalnum() and len(name) <= 30
