"""Every alert fires when what it is about really happens, and ends with it: real processes, faults and Prometheus.

The rules are production's at 1:60, an hour in a minute; what takes a day there, the books that nobody looks at, at
1:2,000. What is wrong with time or rows is made so in the rows of a database that is thrown away.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from caudal_ops.dashboard import queries
from caudal_ops.files import config
from caudal_ops.rules import Scale, groups, names
from caudal_ops.yaml import written
from tests.app.test_exits import free_port
from tests.whole import Whole

pytestmark = pytest.mark.server

PATIENCE_S = 900.0  # a working caudal needs seconds; how busy the machine is decides nothing
SLOWEST = 2_000
EVERY_SCRAPE = "1s"
CARD = {
    "number": "4111 1111 1111 1111",
    "expiry_month": 12,
    "expiry_year": 2031,
    "holder_name": "Ana",
    "security_code": "123",
}


class Prometheus:
    """Debian's, on our rules; asked over its API."""

    def __init__(self, home: Path, targets: list[str]) -> None:
        home.mkdir()
        rules = [*groups(Scale(60)), *_only("CaudalLedgerUnchecked", groups(Scale(SLOWEST)))]
        for group in rules:
            group["interval"] = EVERY_SCRAPE
        (home / "caudal.rules.yml").write_text(written({"groups": rules}))
        asked: dict[str, Any] = config(Scale(60), tuple(targets))
        asked["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval", "scrape_timeout"), EVERY_SCRAPE)
        (home / "prometheus.yml").write_text(written(asked))
        program, port = shutil.which("prometheus"), free_port()
        assert program, "prometheus is missing: apt-get install prometheus"
        command = [program, f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        self.url, self._log = f"http://127.0.0.1:{port}", home / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                    return
            except OSError:
                assert self._process.poll() is None and time.monotonic() < end, self._log.read_text()
                time.sleep(0.1)

    def query(self, expr: str) -> list[dict[str, Any]]:
        asked = f"{self.url}/api/v1/query?query={urllib.parse.quote(expr)}"
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def firing(self, of_s: int | None = None) -> set[str]:
        """What fires now, or has fired in the last seconds, however seldom anybody looks."""
        alerts = 'ALERTS{alertstate="firing"}'
        rows = self.query(alerts if of_s is None else f"count_over_time({alerts}[{of_s}s])")
        return {row["metric"]["alertname"] for row in rows}

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _only(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    [rule] = [rule for group in found for rule in group["rules"] if rule.get("alert") == name]
    return [{"name": "slowest", "interval": "1s", "rules": [rule | {"alert": f"{name}{SLOWEST}"}]}]


class _Hears(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class World:
    """A caudal with its Prometheus and somebody who pays all the time."""

    def __init__(self, whole: Whole, prometheus: Prometheus) -> None:
        self.whole, self.prometheus, self.seen, self._ended = whole, prometheus, set[str](), threading.Event()
        self._payers = [threading.Thread(target=self._pay, args=(number, self._ended)) for number in range(6)]

    def __enter__(self) -> World:
        for payer in self._payers:
            payer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for payer in self._payers:
            payer.join()

    @contextmanager
    def crowd(self) -> Iterator[None]:
        """More who pay than the queue has room for when it stands."""
        over = threading.Event()
        many = [threading.Thread(target=self._pay, args=(100 + number, over)) for number in range(30)]
        for one in many:
            one.start()
        try:
            yield
        finally:
            over.set()
            for one in many:
                one.join()

    def _pay(self, payer: int, ended: threading.Event) -> None:
        """Pays by SPEI and Pix, and asks for what is refused."""
        bodies = [{"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}]
        bodies += [{"amount": 10_000, "currency": "BRL", "country": "BR", "method": "pix"}]
        number = 0
        while not ended.wait(0.2):
            number += 1
            made = self.post("/v1/payins", bodies[number % 2], self.whole.key, f"{payer}-{number}")
            if made is not None and made["method"] == "pix" and made["status"] == "pending":
                self.post(f"/v1/sandbox/payins/{made['id']}/pay", {}, self.whole.key, f"{payer}-{number}-pay")
                self.asked_wrong(f"{payer}-{number}")

    def spei(self) -> Any:
        """One more payin, if there is room for it."""
        body = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
        return self.post("/v1/payins", body, self.whole.key, f"one-{time.monotonic()}")

    def asked_wrong(self, name: str) -> None:
        """A payin without an amount, alone and among many."""
        self.post("/v1/payins", {"method": "spei"}, self.whole.key, f"{name}-wrong")
        many = {"payins": [{"idempotency_key": f"{name}-of-many", "payin": {"method": "spei"}}]}
        self.post("/v1/payins/bulk", many, self.whole.key, "")

    @contextmanager
    def merchant(self) -> Iterator[None]:
        """A merchant's server that hears of everything, twice, and a card that is not captured."""
        with ThreadingHTTPServer(("127.0.0.1", 0), _Hears) as server:
            threading.Thread(target=server.serve_forever).start()
            url = f"http://127.0.0.1:{server.server_port}/"
            endpoint = self.post("/v1/webhook_endpoints", {"url": url}, self.whole.key, "endpoint")
            instrument = self.post("/v1/instruments", {"type": "card", "card": CARD}, self.whole.key, "instrument")
            card = {"amount": 20_000, "currency": "BRL", "country": "BR", "method": "card", "capture": "manual"}
            card["instrument"] = {"id": instrument["id"]}
            assert self.post("/v1/payins", card, self.whole.key, "card")["status"] == "authorized"
            since = datetime.now(UTC) - timedelta(minutes=5)
            asked = {"from": since.isoformat(), "to": datetime.now(UTC).isoformat()}
            again = f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries"
            assert self.post(again, asked, self.whole.key, "redelivery") is not None
            try:
                yield
            finally:
                self.post(f"/v1/webhook_endpoints/{endpoint['id']}/deletions", {}, self.whole.key, "deletion")
                server.shutdown()

    def post(self, path: str, body: object, key: str, idempotency: str) -> Any:
        """The answer, or nothing where there was none in time."""
        head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": idempotency}
        asked = urllib.request.Request(self.whole.api_url + path, json.dumps(body).encode(), head)
        try:
            with urllib.request.urlopen(asked, timeout=3) as answer:
                return json.load(answer)
        except OSError:
            return None

    def until(self, met: Callable[[set[str]], bool], what: str, *, meanwhile: bool = False) -> None:
        """Looks until it is so of what fires, or of all that has fired `meanwhile`; all of it is kept."""
        began = time.monotonic()
        while True:
            firing, waited_s = self.prometheus.firing(), int(time.monotonic() - began)
            fired = firing | (self.prometheus.firing(waited_s) if waited_s else set())
            self.seen |= fired
            if met(fired if meanwhile else firing):
                return
            last = f"{what}; firing: {sorted(firing)}, meanwhile: {sorted(fired)}, in all: {sorted(self.seen)}"
            assert waited_s < PATIENCE_S, last
            time.sleep(0.2)

    def fires(self, *alerts: str) -> None:
        """All of them fire, at once or one after the other."""
        self.until(lambda fired: fired.issuperset(alerts), f"does not fire: {alerts}", meanwhile=True)

    def ends(self, *alerts: str) -> None:
        self.until(lambda firing: not firing.intersection(alerts), f"does not end: {alerts}")

    @contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        """Processes that stand still."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def of(self, name: str) -> int:
        self.whole.refresh()
        return next(int(pid) for process, pid in self.whole.ready["processes"].items() if process.startswith(name))

    @contextmanager
    def locked(self, *tables: str) -> Iterator[None]:
        """Tables that nobody can write, and nobody read if they are entries; a shard comes first, as for everybody."""
        with psycopg.connect(self.whole.database_url) as connection:
            for table in tables:
                mode = "access exclusive" if table == "entry" else "exclusive"
                connection.execute(f"lock table {table} in {mode} mode")
            yield
            connection.rollback()

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.whole.database_url, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("alerts")
    settings = {
        "CAUDAL_WATCH_S": "0.5",
        "CAUDAL_CHECK_SHARE": "0.4",
        "CAUDAL_LEASE_S": "1",
        "CAUDAL_LOOP_LATE_S": "2",
        "CAUDAL_QUEUE_LIMIT": "24",
        "CAUDAL_WEBHOOK_LOOPBACK": "1",
    }
    whole = Whole(home / "whole", **settings, CAUDAL_METRICS_PORT=f"{free_port()}")
    whole.start()
    targets = [urllib.parse.urlsplit(address).netloc for address in whole.ready["metrics"].values()]
    prometheus = Prometheus(home / "prometheus", targets)
    try:
        with World(whole, prometheus) as world:
            yield world
    finally:
        prometheus.end()
        whole.stop()


def test_every_alert_fires_and_ends(world: World, say: Callable[[str], None]) -> None:
    world.until(lambda _: len(world.prometheus.query("caudal_watch_last_run_timestamp_seconds")) == 1, "no figures")
    world.ends("CaudalWatchStale", f"CaudalLedgerUnchecked{SLOWEST}")  # they fire until somebody has looked
    world.until(lambda firing: not firing - {"CaudalLoopBlocked"}, "all is not well")
    _sandbox_stands_still(world)
    _jobs_break(world)
    _tables_are_locked(world)
    _worker_stands_still(world)
    _database_stands_still(world)
    with world.merchant():
        _every_panel_has_figures(world)
    _rows_are_wrong(world)
    with _a_version_before_its_migrations(world):
        _a_discrepancy_is_old(world)
    world.ends("CaudalJobsBreak")
    missing = set(names()) - {name.removesuffix(f"{SLOWEST}") for name in world.seen}
    assert not missing, missing
    say(f"\n{len(world.seen)} alerts fired: {', '.join(sorted(world.seen))}")


def _every_panel_has_figures(world: World) -> None:
    """All queries of the page, once everything has gone wrong that one of them counts."""
    end, left = time.monotonic() + PATIENCE_S, queries()
    while left:
        left = [(title, expr) for title, expr in left if not world.prometheus.query(_of_ten_seconds(expr))]
        assert time.monotonic() < end, f"no figures of {left}; in all have fired: {sorted(world.seen)}"
        time.sleep(0.2)


def _of_ten_seconds(expr: str) -> str:
    return expr.replace("$__rate_interval", "10s")


def _jobs_break(world: World) -> None:
    """Work that no job is there for, as a version leaves it that knew more."""
    world.sql(
        "insert into due (shard, at, kind, subject, book, attempt)"
        " select 0, now(), 'nosuch', gen_random_uuid(), 2, 0 from generate_series(1, 5)"
    )
    world.fires("CaudalJobsBreak", "CaudalErrorsLogged")
    world.sql("delete from due where kind = 'nosuch'")


def _sandbox_stands_still(world: World) -> None:
    with world.stopped(world.of("sandbox")):
        world.fires("CaudalProvidersBurnSlow", "CaudalLatencyBurn", "CaudalLatencyBurnSlow", "CaudalBreakerOpen")
        # Asked for the first time in January: nothing that an event tells hangs on that.
        world.sql(
            "update payin set detail = convert_to(regexp_replace(convert_from(detail, 'UTF8'),"
            """ '"first_until":"[^"]*"', '"first_until":"2026-01-01T00:00:00Z"'), 'UTF8') where status = 'submitting'"""
        )
        world.fires("CaudalUnresolvedOld")
    world.ends("CaudalBreakerOpen", "CaudalUnresolvedOld")


def _tables_are_locked(world: World) -> None:
    late = ("CaudalWebhooksStuck", "CaudalSweepStuck", "CaudalWebhooksBurn", "CaudalSweepsBurn", "CaudalWorkerStuck")
    some = "select at from due order by at limit 20"
    world.sql(
        f"update due set at = clock_timestamp() + interval '3 s' where at in ({some})"
    )  # something is due then, and nobody can take it
    with ExitStack() as locks:
        with world.stopped(world.of("worker")):  # so that an event is left of which there is no delivery
            world.until(lambda _: world.spei() is not None, "no payin")
            locks.enter_context(world.locked("shard", "webhook_delivery", "consumer", "due", "entry"))
        world.fires(*late, "CaudalWebhooksBurnSlow", "CaudalSweepsBurnSlow", f"CaudalLedgerUnchecked{SLOWEST}")
    world.ends(*late, f"CaudalLedgerUnchecked{SLOWEST}")


def _worker_stands_still(world: World) -> None:
    with world.stopped(world.of("worker")):
        world.fires("CaudalWatchStale", "CaudalDown")
    world.ends("CaudalWatchStale", "CaudalDown")
    for _ in range(3):
        with world.stopped(world.of("web")):
            time.sleep(0.6)
        time.sleep(0.3)
    world.fires("CaudalLoopBlocked")


def _database_stands_still(world: World) -> None:
    database = world.of("postgres")
    with psycopg.connect(world.whole.database_url) as connection:
        found = connection.execute("select pid from pg_stat_activity where pid <> pg_backend_pid()")
        backends = [pid for (pid,) in found]
    with world.crowd(), world.stopped(database, *backends):
        world.fires("CaudalDatabaseAway", "CaudalAvailabilityBurn", "CaudalAvailabilityBurnSlow", "CaudalRefusing")
    world.ends("CaudalDatabaseAway")


@contextmanager
def _a_version_before_its_migrations(world: World) -> Iterator[None]:
    world.sql("update migration set number = -number where number = 1")
    os.kill(world.of("worker"), signal.SIGKILL)  # the next one begins as that version would
    yield
    world.fires("CaudalNotMigrated")
    world.sql("update migration set number = -number where number = -1")
    world.ends("CaudalNotMigrated")


def _rows_are_wrong(world: World) -> None:
    account = "(select debit_account from transfer order by seq limit 1)"  # the house's, of every Pix payment
    world.sql(f"update account set version = version - 1 where id = {account}")
    world.fires("CaudalLedgerViolation", "CaudalDefect")
    world.sql(f"update account set version = version + 1 where id = {account}")
    world.ends("CaudalLedgerViolation")
    world.sql("update shard set last_at = clock_timestamp() + interval '20 s'")
    world.fires("CaudalClockAhead")


def _a_discrepancy_is_old(world: World) -> None:
    """One of two hours ago: nobody waits even for the minute that an hour takes here."""
    world.sql(
        "insert into discrepancy (shard, id, book, version, provider, kind, detail, created_at)"
        " select 0, gen_random_uuid(), min(book), 1, 'sandbox', 'unknown_payment', '{}', now() - interval '2 hours'"
        " from book"
    )
    world.fires("CaudalDiscrepancyOld")
    world.sql("update discrepancy set resolved_at = now(), resolution = 'seen to'")
    world.ends("CaudalDiscrepancyOld")
