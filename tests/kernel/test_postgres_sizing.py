"""The server's settings for a machine, as a table."""

import pytest

from caudal.kernel.postgres import Machine, settings_for, this_machine

TABLE = """
memory_mb cores | shared_buffers effective_cache_size maintenance_work_mem max_wal_size min_wal_size max_connections autovacuum_max_workers
      512     1 |          128MB                256MB                 32MB        512MB        256MB             100                      1
     1024     2 |          128MB                512MB                 32MB        512MB        256MB             100                      2
     2048     2 |          256MB               1024MB                 32MB        512MB        256MB             100                      2
     4096     2 |          512MB               2048MB                 64MB       1024MB        512MB             100                      2
    24105     2 |         2048MB              12052MB                256MB       1024MB        512MB             100                      2
   131072    64 |         2048MB              65536MB                256MB       1024MB        512MB             400                      3
"""  # noqa: E501

HEAD, *ROWS = [line.replace("|", "").split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} MB, {row[1]} cores")
def test_a_machine_has_its_settings(row: list[str]) -> None:
    settings = settings_for(Machine(memory_bytes=int(row[0]) * 1024**2, cores=int(row[1])))
    assert [settings[name] for name in HEAD[2:]] == row[2:]


@pytest.mark.parametrize("memory_mb", [64, 4096, 1_000_000])
def test_every_machine_is_durable_and_restarts_after_a_crash(memory_mb: int) -> None:
    settings = settings_for(Machine(memory_bytes=memory_mb * 1024**2, cores=1))
    wanted = ("fsync", "synchronous_commit", "full_page_writes", "restart_after_crash")
    assert {settings[name] for name in wanted} == {"on"}


def test_this_machine_has_memory_and_a_core() -> None:
    machine = this_machine()
    assert machine.memory_bytes > 0
    assert machine.cores >= 1


def test_many_api_processes_find_room_for_their_connections() -> None:
    machine = Machine(memory_bytes=4 * 1024**3, cores=2)
    for processes in (1, 5, 16, 64):
        connections = int(settings_for(machine, web_processes=processes)["max_connections"])
        assert connections >= max(100, 60 + 8 * processes)


@pytest.mark.parametrize(
    ("kernel", "method"),
    [((6, 1), "syncfs"), ((5, 8), "syncfs"), ((5, 7), "fsync"), ((4, 19), "fsync"), ((0, 0), "fsync")],
)
def test_a_crash_is_flushed_by_file_system_where_linux_says_that_it_failed(
    kernel: tuple[int, int], method: str
) -> None:
    machine = Machine(memory_bytes=4 * 1024**3, cores=2, kernel=kernel)
    assert settings_for(machine)["recovery_init_sync_method"] == method


def test_the_kernel_is_known() -> None:
    assert this_machine().kernel >= (3, 0)
