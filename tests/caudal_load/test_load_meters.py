"""What is written to the disk: the device's own counter, and nothing where there is none."""

from pathlib import Path

import pytest

from caudal_load import processes
from caudal_load.capacity.disk import growth, measured
from caudal_load.meters import Reading, intervals
from caudal_load.processes import device_bytes, device_of

STATS = """\
 254       0 vda 1879423 487899 134912530 4808679 24784110 2931957 2000 10278441 0 2044704 15943030 3066954 33 7 4 6 4
 254       1 vda1 1 2 3 4 5 6 7 8 9 10 11
"""


@pytest.fixture(autouse=True)
def a_machine_with_one_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "diskstats").write_text(STATS)
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    return tmp_path / "diskstats"


def test_a_disk_says_what_was_written_to_it() -> None:
    assert device_bytes((254, 0)) == 2000 * 512
    assert device_bytes((254, 1)) == 7 * 512


def test_what_is_no_disk_says_nothing(tmp_path: Path) -> None:
    assert device_bytes((0, 27)) is None and device_bytes(None) is None
    assert device_of(tmp_path / "none") is None


def test_a_disk_is_timed_alone(tmp_path: Path) -> None:
    disk = measured(tmp_path)
    assert disk.mb_per_s > 0 and disk.flush_ms > 0 and [each.name for each in tmp_path.iterdir()] == ["diskstats"]


def test_a_database_grows_by_its_tables_and_those_that_are_dropped_by_weeks_are_named() -> None:
    before = {"": (1000, 500), "key": (100, 50)}
    after = {"": (1600, 700), "key": (300, 90), "event": (80, 20)}
    assert growth(before, after, 10) == {"rows": 88.0, "indexes": 26.0, "in key": 24.0, "in event": 10.0}
    assert growth(None, after, 10) == growth(before, after, 0) == {}


def test_an_interval_is_what_was_written_between_two_readings() -> None:
    readings = [
        Reading(at_ns=second * 1_000_000_000, uses={}, wal_bytes=None, device_bytes=written)
        for second, written in enumerate((100, 350, None, 400))
    ]
    assert [each.device_bytes for each in intervals(readings, 0, 0.0)] == [250, None, None]
