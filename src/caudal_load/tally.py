"""What one side of a run has been told: who was acknowledged, refused, or left without an answer."""

from array import array
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

ID_DIGITS = 32


class Tally:
    """Counts of one side.

    Those called `window_…` only while its clock ran, all others from the first request to the last.
    """

    __slots__ = (
        "_ids",
        "_numbers",
        "malformed",
        "refusals",
        "refused_by_status",
        "submitting",
        "unknown",
        "unsent",
        "window_acknowledged",
        "window_answered",
        "window_ns",
    )

    def __init__(self) -> None:
        self._numbers = array("Q")
        self._ids = bytearray()
        self.refused_by_status: Counter[int] = Counter()
        self.refusals: dict[int, bytes] = {}
        """The first refusal's body, by status."""
        self.submitting = 0
        """Acknowledged before the provider's answer was there."""
        self.unknown = 0
        """Requests whose connection broke, or which had no answer after the generator's patience.

        They may have been carried out.
        """
        self.malformed = 0
        """Answers that could not be read, or that acknowledged without an id."""
        self.unsent = 0
        """Arrivals of an open loop for which no connection came free before the end."""
        self.window_acknowledged = 0
        self.window_answered = 0
        self.window_ns = 0

    def acknowledge(self, number: int, id_digits: bytes) -> None:
        """Remember that request `number` was promised the object whose id has these 32 hexadecimal digits."""
        self._numbers.append(number)
        self._ids += id_digits

    def refuse(self, status: int, body: bytes) -> None:
        """Count a refusal."""
        self.refused_by_status[status] += 1
        if status not in self.refusals:
            self.refusals[status] = body

    @property
    def acknowledged(self) -> int:
        """How many requests were acknowledged."""
        return len(self._numbers)

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return self.refused_by_status.total()

    def promises(self) -> Iterator[tuple[int, UUID]]:
        """Every acknowledged request's number with the id it was given.

        Raises ValueError if an id is not hexadecimal.
        """
        for index, number in enumerate(self._numbers):
            digits = self._ids[index * ID_DIGITS : (index + 1) * ID_DIGITS]
            yield number, UUID(digits.decode("ascii"))

    @property
    def rate(self) -> float:
        """Acknowledged per second of the window."""
        return self.per_s(self.window_acknowledged)

    def per_s(self, count: int) -> float:
        """So many of the window, per second of it."""
        return round(count * 1e9 / self.window_ns, 1) if self.window_ns else 0.0
