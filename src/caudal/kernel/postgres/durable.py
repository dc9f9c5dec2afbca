"""A server that may lose what it has acknowledged is refused, the embedded one and any other alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from caudal.kernel.postgres.failures import NotDurable

LEAST_VERSION: Final = 170_000  # transaction_timeout, which frees a shard from a stopped client, came with 17
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "fsync": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_apply"}),  # the second waits for replicas as well
    "full_page_writes": frozenset({"on"}),
    "in_recovery": frozenset({"off"}),
}
# A promotion begins a new one. 0 for a standby, which `pg_walfile_name` refuses, and for a server made read-only.
TIMELINE: Final = (
    "case when pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' then 0"
    " else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer end"
)


@dataclass(frozen=True, kw_only=True)
class Durability:
    """What a server said of itself: version as `server_version_num` has it, e.g. 180004; timeline 0: a standby."""

    version: int
    data_checksums: bool
    timeline: int


async def verify_durable(connection: psycopg.AsyncConnection[Any], *, synchronous: bool = False) -> Durability:
    """Ask the server behind an autocommit connection. Raises NotDurable naming every setting that is wrong.

    `synchronous` demands that commits wait for a standby.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "select current_setting('server_version_num')::int as version,"
            " current_setting('data_checksums') as data_checksums,"
            " current_setting('fsync') as fsync,"
            " current_setting('synchronous_commit') as synchronous_commit,"
            " current_setting('full_page_writes') as full_page_writes,"
            " case when pg_is_in_recovery() then 'on' else 'off' end as in_recovery,"
            " current_setting('synchronous_standby_names') as standbys,"
            f" {TIMELINE} as timeline"
        )
        shown = await cursor.fetchone()
    assert shown is not None
    if shown["version"] < LEAST_VERSION:
        raise NotDurable(f"the server is PostgreSQL {shown['version'] // 10_000}; caudal needs 17 or newer")
    wrong = [f"{name} is {shown[name]}" for name, allowed in ALLOWED.items() if shown[name] not in allowed]
    if synchronous and not shown["standbys"]:
        wrong.append("synchronous_standby_names is empty, and CAUDAL_DATABASE_SYNCHRONOUS demands a standby")
    if wrong:
        raise NotDurable(f"the server may lose what it has acknowledged: {', '.join(wrong)}")
    return Durability(
        version=shown["version"], data_checksums=shown["data_checksums"] == "on", timeline=shown["timeline"]
    )
