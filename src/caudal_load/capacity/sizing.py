"""What a wanted rate needs, from what the measured caudal needed: it is repeated until there is enough.

The unit is what was measured: its shards with their API processes, at no more than the rate that they hold the SLO at.
Cores are those that the fit says for a unit at its part of the rate, divided by the share of a core that is to be used.
That units do not cost each other anything is an assumption, which nothing here measures. Memory is what the processes
had, PostgreSQL's with a database that was small; its cache is reckoned beside it, from the days whose data are to be in
it.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from caudal_load.capacity.kept import Kept
from caudal_load.capacity.laws import Line
from caudal_load.capacity.model import Estimate, Fit, Model
from caudal_load.capacity.solve import Unsolvable
from caudal_load.places import said

EXAMPLE = Path(__file__).with_name("prices.toml")
UTILISATION, MEAN = 0.6, 0.4
DAY_S = 86_400
_NONE = Line(base=0.0, each=0.0)
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e12)]


class BadPrices(ValueError):
    """A file is no table of prices."""


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is paid for, and how long data are kept."""

    currency: str
    core_month: NotNegative
    memory_gb_month: NotNegative
    disk_gb_month: NotNegative
    database_cores: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    database_disk_mb_per_s: Positive
    kept_days: NotNegative
    cached_days: NotNegative = 1.0
    """The data of so many days are to be in the databases' memory: no run measures how many have to be."""
    table_days: dict[str, NotNegative] = {}


def read_prices(path: Path = EXAMPLE) -> Prices:
    """Read a table. Raises BadPrices and names what is wrong with it."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Prices)
    except OSError as error:
        raise BadPrices(f"{path} cannot be read: {said(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadPrices(f"{path}: {error}") from error


def days(prices: Prices) -> str:
    """How many days' data are to be in memory, in words."""
    return "1 day" if prices.cached_days == 1 else f"{prices.cached_days:g} days"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A rate that is to be held within the SLO, and how."""

    rate: float
    utilisation: float = UTILISATION
    """So much of a core is used at that rate; the rest is for what nobody foresaw."""
    mean: float = MEAN
    """The rate of a whole day, as a share of the wanted one."""
    prices: Prices


Need = Mapping[str, float]
NAMES = {
    "shards": "shards",
    "web_processes": "API processes",
    "worker_processes": "worker processes",
    "database_cores": "cores of PostgreSQL",
    "databases": "PostgreSQLs",
    "wal_mb_per_s": "write-ahead log, MB/s",
    "disk_mb_per_s": "written to disks, MB/s",
    "memory_gb": "memory of the processes, GB",
    "cache_gb": "cache of the databases, GB",
    "grows_gb_per_day": "growth, GB a day",
    "kept_gb": "kept in the end, GB",
    "cost_month": "cost a month",
}


def need(fit: Fit, model: Model, wanted: Wanted) -> Need:
    """What one fit says. Raises Unsolvable where it holds the SLO at no rate."""
    kept, prices = model.kept, wanted.prices
    most = model.within_slo(fit)
    if most <= 0:
        raise Unsolvable(f"99 of 100 are within {model.slo_ms:g} ms at no rate, so no number of them is enough")
    units = _units(kept, wanted.rate, most)
    cores = {kind: units * fit.cores.get(kind, _NONE).at(wanted.rate / units) for kind in ("web", "worker", "postgres")}
    web = max(math.ceil(cores["web"] / wanted.utilisation), math.ceil(units) * kept.web_processes)
    workers = max(1, math.ceil(cores["worker"] / wanted.utilisation))
    database_cores = max(1, math.ceil(cores["postgres"] / wanted.utilisation))
    written = {f"{name}_mb_per_s": wanted.rate * fit.bytes[name] / 1e6 for name in ("wal", "disk") if name in fit.bytes}
    databases = max(
        math.ceil(database_cores / prices.database_cores),
        math.ceil(written.get("disk_mb_per_s", 0.0) / prices.database_disk_mb_per_s),
    )
    memory = {kind: fit.memory_mb.get(kind, 0.0) / 1e3 for kind in ("web", "worker", "postgres")}
    memory_gb = web / kept.web_processes * memory["web"] + workers * memory["worker"] + databases * memory["postgres"]
    per_day = wanted.rate * wanted.mean * DAY_S / 1e9
    kept_gb = per_day * _byte_days(fit, prices)
    grows_gb = per_day * (fit.bytes.get("rows", 0.0) + fit.bytes.get("indexes", 0.0))
    cache_gb = grows_gb * prices.cached_days
    return {
        "shards": math.ceil(units * kept.shards),
        "web_processes": web,
        "worker_processes": workers,
        "database_cores": database_cores,
        "databases": databases,
        **written,
        "memory_gb": memory_gb,
        "cache_gb": cache_gb,
        "grows_gb_per_day": grows_gb,
        "kept_gb": kept_gb,
        "cost_month": (web + workers + database_cores) * prices.core_month
        + (memory_gb + cache_gb) * prices.memory_gb_month
        + kept_gb * prices.disk_gb_month,
    }


def _units(kept: Kept, rate: float, most: float) -> float:
    """How often what was measured: whole shards, one of them at least."""
    return max(1, math.ceil(rate / (most / kept.shards))) / kept.shards


def _byte_days(fit: Fit, prices: Prices) -> float:
    """Bytes of a payment, each times the days that it is kept."""
    weekly = {name.removeprefix("in "): bytes_ for name, bytes_ in fit.bytes.items() if name.startswith("in ")}
    lasting = fit.bytes.get("rows", 0.0) + fit.bytes.get("indexes", 0.0) - sum(weekly.values())
    return max(0.0, lasting) * prices.kept_days + sum(
        bytes_ * prices.table_days.get(name, prices.kept_days) for name, bytes_ in weekly.items()
    )


def needs(model: Model, wanted: Wanted) -> dict[str, Estimate]:
    """What the rate needs, with error bars. Raises Unsolvable as `need` does."""
    known = need(model.fit, model, wanted)

    def of(name: str, fit: Fit) -> float:
        try:
            return need(fit, model, wanted).get(name, math.inf)
        except Unsolvable:
            return math.inf

    return {name: model.surely(partial(of, name)) for name in known}


def one_postgresql(model: Model, wanted: Wanted) -> dict[str, Estimate]:
    """At which rates one PostgreSQL of the largest machine ends, by its cores and by its disk.

    Only as many shards are needed as have the rate; that more cores do as much more is an assumption.
    """
    prices = wanted.prices

    def by_cores(fit: Fit) -> float | None:
        most = model.within_slo(fit)
        used = fit.cores.get("postgres", _NONE).at(most)
        return most * prices.database_cores * wanted.utilisation / used if most > 0 and used > 0 else None

    def by_disk(fit: Fit) -> float | None:
        bytes_ = fit.bytes.get("disk")
        return prices.database_disk_mb_per_s * 1e6 / bytes_ if bytes_ else None

    found = {"its cores": model.estimate(by_cores), "its disk": model.estimate(by_disk)}
    return {name: estimate for name, estimate in found.items() if estimate is not None}
