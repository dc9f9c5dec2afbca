"""What one side of a run has been told: who was acknowledged, refused, or left without an answer."""

from array import array
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from caudal_load.histogram import Histogram
from caudal_load.seconds import Second

ID_DIGITS = 32
_SUMS = ("submitting", "unknown", "malformed", "unsent", "differing", "window_acknowledged", "window_answered")


class Tally:
    """Counts of one side.

    Those called `window_…` only while its clock ran, all others from the first request to the last.
    """

    __slots__ = (
        "_ids",
        "_numbers",
        "cancelled",
        "differing",
        "lateness",
        "malformed",
        "operations",
        "refusals",
        "refused_by_status",
        "seconds",
        "service",
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
        self.operations = bytearray()
        """The ids of acknowledged captures and refunds, 16 bytes each."""
        self.cancelled = bytearray()
        """The ids of payins whose cancellation was acknowledged, 16 bytes each."""
        self.differing = 0
        """Requests that were sent again, and answered with another payin than the first time."""
        self.seconds: list[Second] = []
        """Of the window."""
        self.service = Histogram()
        """Of an open loop: latencies of the window from the moment of sending, which leave out the wait before it."""
        self.lateness = Histogram()
        """Of an open loop: how long after its time the generator noticed an arrival of the window."""
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

    def add(self, other: "Tally") -> None:
        """Count what another process was told too. The seconds and the window's length are not its business."""
        self._numbers += other._numbers
        self._ids += other._ids
        self.operations += other.operations
        self.cancelled += other.cancelled
        self.refused_by_status.update(other.refused_by_status)
        self.refusals = other.refusals | self.refusals
        self.service.merge(other.service)
        self.lateness.merge(other.lateness)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

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
