"""The simulated database is the real one: what histories commit gives the same answers and the same tables on both."""

from __future__ import annotations

from tests.caudal_simulation.simulating import simulate


def test_two_hundred_histories_end_in_equal_states_on_both(database_url: str) -> None:
    done = simulate("--mirror", database_url, "--histories", "200", "--seed", "5000")
    assert done.returncode == 0, done.stdout + done.stderr
    left_out, compared = (line.split() for line in done.stdout.splitlines())
    assert (int(compared[0]), int(compared[-2])) == (200, 0)
    assert int(compared[2]) > 200 * 200, "histories that commit little compare little"
    assert int(left_out[0]) < 20, "most histories can be told by the order of their commits"
