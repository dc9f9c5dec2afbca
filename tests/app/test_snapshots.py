"""The checks never hold an old snapshot: one would double the cost of the hot rows within minutes."""

from __future__ import annotations

from collections import Counter

import psycopg

from caudal.app.check import differences
from caudal.app.replay import replay
from caudal.kernel.context import Context
from tests.api import Api


async def test_check_and_replay_read_in_short_transactions_of_their_own(context: Context, database_url: str) -> None:
    api = Api(context)
    await api.ana()
    for _ in range(12):
        clabe = (await api.create()).json["next_action"]["clabe"]
        assert (await api.deposit(clabe, 10_000)).status == 200
    seen: list[str | None] = []
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as checking:
        with psycopg.connect(database_url, autocommit=True) as watching:

            def look() -> None:
                row = watching.execute(
                    "select state, backend_xmin::text from pg_stat_activity where pid = %s",
                    (checking.info.backend_pid,),
                ).fetchone()
                assert row is not None and row[0] == "idle", "no transaction is open between two ranges"
                seen.append(row[1])

            found = await replay(checking, 0, range_size=5, progress=lambda _, __: look())
            replayed, kinds = len(seen), Counter[str]()

            def count(kind: str, _: int) -> None:
                kinds[kind] += 1
                look()

            assert [row async for row in differences(checking, 0, size=5, progress=count)] == []
    assert found.transfers == 24 and found.differences == []
    assert replayed >= 5 and len(seen) == replayed + kinds.total() and set(seen) == {None}
    walked = ("transfers", "events", "entries", "payins", "lines", "keys")
    assert {kind for kind, ranges in kinds.items() if ranges > 2} >= set(walked), kinds
