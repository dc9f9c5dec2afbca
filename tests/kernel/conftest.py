"""The databases that the write path's contract is tested on."""

from __future__ import annotations

import pytest

from tests.kernel.stores import RealStore, SimulatedStore


@pytest.fixture(params=["postgresql", "simulated"])
def store(request: pytest.FixtureRequest) -> RealStore:
    """Where batches go."""
    if request.param == "simulated":
        return SimulatedStore()
    return RealStore(request.getfixturevalue("database_url"))
