"""What happened, moment by moment: payins are created, and later paid, cancelled, or left to expire.

A moment is a batch: everything in it has one time. Moments are evenly spread, so that the n-th one's time is known
before it comes; what becomes of a payin is decided when it is created. What would happen after the last moment has not
happened yet: those payins are pending.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

EXPIRY = timedelta(days=3)
PAYINS_A_MOMENT = 50
_PAID_OF_100, _CANCELLED_OF_100 = 62, 10
_PAID_WITHIN = timedelta(hours=6)
_SLOT_SHIFT, _RANDOM_BITS = 40, 40
Status = Literal["pending", "paid", "cancelled", "expired"]


class Payin(NamedTuple):
    """A payin as it stands in the end. Amounts in centavos."""

    id: int
    slot: int
    amount_minor: int
    fee_minor: int
    number: int
    created_at: datetime
    expires_at: datetime
    status: Status
    settled_at: datetime | None


class Moment(NamedTuple):
    """What one batch did: payins that were created, and older ones that came to their end. All at `at`."""

    at: datetime
    created: list[Payin]
    settled: list[Payin]


class Price(NamedTuple):
    """A fee plan's line."""

    fixed_minor: int
    basis_points: int

    def fee_minor(self, amount_minor: int) -> int:
        """The fixed part once, and the share rounded half up."""
        return self.fixed_minor + (amount_minor * self.basis_points * 2 + 10_000) // 20_000


def story(
    count: int, slots: Sequence[int], price: Price, *, begins_at: datetime, ends_at: datetime, event_seq: int
) -> Iterator[Moment]:
    """`count` payins of the merchants in `slots`, in the order of time. Always the same for the same arguments.

    `event_seq` is the last event before the story: a payin's deposit number is made of its first event's, as always.
    """
    chance = random.Random(count)
    moments = -(-count // PAYINS_A_MOMENT)
    apart = (ends_at - begins_at) / moments
    expiry_moments = -int(-(EXPIRY / apart) // 1)
    paid_moments = max(1, int(_PAID_WITHIN / apart))
    coming: defaultdict[int, list[Payin]] = defaultdict(list)
    for index in range(moments):
        at = begins_at + apart * (index + 1)
        settled = coming.pop(index, [])
        created = []
        for place in range(min(PAYINS_A_MOMENT, count - index * PAYINS_A_MOMENT)):
            status, after = _end(chance, paid_moments, expiry_moments)
            happened = index + after < moments
            amount_minor = 5_000 + int(chance.random() * 500_000)
            slot = slots[(index * PAYINS_A_MOMENT + place) % len(slots)]
            payin = Payin(
                id=uuid7(at, slot, chance),
                slot=slot,
                amount_minor=amount_minor,
                fee_minor=price.fee_minor(amount_minor) if happened and status == "paid" else 0,
                number=(event_seq + place + 1) * 2,
                created_at=at,
                expires_at=at + EXPIRY,
                status=status if happened else "pending",
                settled_at=begins_at + apart * (index + after + 1) if happened else None,
            )
            created.append(payin)
            if happened:
                coming[index + after].append(payin)
        event_seq += len(created) + len(settled)
        yield Moment(at, created, settled)


def _end(chance: random.Random, paid_moments: int, expiry_moments: int) -> tuple[Status, int]:
    """What becomes of a payin, and after how many moments."""
    lot = chance.random() * 100
    if lot < _PAID_OF_100:
        return "paid", 1 + int(chance.random() * paid_moments)
    if lot < _PAID_OF_100 + _CANCELLED_OF_100:
        return "cancelled", 1 + int(chance.random() * paid_moments)
    return "expired", max(1, expiry_moments)


def uuid7(at: datetime, slot: int, chance: random.Random) -> int:
    """A UUIDv7 (RFC 9562) as a number: the millisecond, the version, the merchant's slot, and chance between them."""
    bits = chance.getrandbits(_RANDOM_BITS + 12)
    high = int(at.timestamp() * 1000) << 80 | 0x7 << 76 | (bits >> _RANDOM_BITS) << 64
    return high | 0b10 << 62 | slot << _SLOT_SHIFT | bits & (1 << _RANDOM_BITS) - 1
