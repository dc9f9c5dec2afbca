"""The fourth five hundred histories."""

from tests.caudal_simulation.simulating import nothing_is_wrong_in


def test_whatever_fails_nothing_is_lost_or_doubled() -> None:
    nothing_is_wrong_in(range(1501, 2001))
