"""One page of Grafana that an operator wants: golden signals, budgets, queue and batch, providers, money, processes."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from caudal_ops.slos import SLOS

_HTTP: Final = "http_server_request_duration_seconds"
_CALL: Final = "caudal_provider_call_duration_seconds"
_BATCH: Final = "caudal_commit_batch_duration_seconds"
_STATE: Final = "caudal_provider, caudal_mode, caudal_state"
_WIDE, _HIGH, _COLUMNS = 8, 7, 24
_RATE: Final = "$__rate_interval"
Json = dict[str, Any]


class Panel(NamedTuple):
    """A graph: its queries with what each line is called, and Grafana's name of the unit."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""
    kind: str = "timeseries"


def _rate(name: str, by: str = "", matchers: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return (
        f"sum{grouped} (rate({name}{{{matchers}}}[{_RATE}]))" if matchers else f"sum{grouped} (rate({name}[{_RATE}]))"
    )


def _quantile(share: float, name: str, by: str = "") -> str:
    grouped = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({share:g}, sum by ({grouped}) (rate({name}_bucket[{_RATE}])))"


def _percentiles(name: str) -> tuple[tuple[str, str], ...]:
    return tuple((_quantile(share, name), f"p{share * 100:g}") for share in (0.5, 0.99, 0.999))


def _of_shards(name: str) -> tuple[tuple[str, str], ...]:
    """Percentiles of all, and of each shard what shows which of them saturates."""
    slowest = _quantile(0.99, name, "caudal_shard"), "p99, shard {{caudal_shard}}"
    return (_quantile(0.5, name), "p50"), slowest, (_quantile(0.999, name), "p99.9")


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Golden signals",
        (
            Panel(
                "Requests",
                "reqps",
                ((_rate(f"{_HTTP}_count", "http_response_status_code"), "{{http_response_status_code}}"),),
            ),
            Panel("Latency", "s", _percentiles(_HTTP), "Of every request, from its last byte to its answer."),
            Panel(
                "Problems",
                "reqps",
                (
                    (_rate("caudal_http_problems_total", "error_type"), "{{error_type}}"),
                    (_rate("caudal_bulk_payins_total", "error_type", 'error_type!=""'), "{{error_type}} (of many)"),
                ),
                "By code: of requests, and of payins that were asked for in bulk.",
            ),
            Panel(
                "Busiest routes",
                "reqps",
                (
                    (
                        f"topk(8, {_rate(f'{_HTTP}_count', 'http_request_method, http_route')})",
                        "{{http_request_method}} {{http_route}}",
                    ),
                ),
            ),
            Panel(
                "Under way",
                "short",
                (("sum(http_server_active_requests)", "requests"),),
                "Saturation: requests whose handler runs.",
            ),
            Panel(
                "Budget left after 30 days like the last 3",
                "percentunit",
                tuple(
                    (f'1 - caudal:bad_share:3d{{slo="{slo.name}"}} / {1 - slo.target:.4g}', slo.name) for slo in SLOS
                ),
                "What was bad of the last three days against what may be bad. At zero a month like them spends its "
                "budget to the end, below zero more than that.",
            ),
        ),
    ),
    (
        "Queue and batch",
        (
            Panel(
                "Commits",
                "ops",
                (
                    (_rate("caudal_commit_commands_total"), "commands"),
                    (_rate("caudal_commit_events_total"), "events"),
                    (_rate(f"{_BATCH}_count"), "batches"),
                ),
            ),
            Panel(
                "Waiting",
                "short",
                (
                    (
                        "sum by (caudal_shard, caudal_lane) (caudal_commit_queue_length)",
                        "shard {{caudal_shard}}, {{caudal_lane}}",
                    ),
                ),
                "Commands in the queue, by shard and urgency.",
            ),
            Panel("Wait for a batch", "s", _of_shards("caudal_commit_queue_wait_seconds")),
            Panel("A batch takes", "s", _of_shards(_BATCH)),
            Panel(
                "Commands in a batch",
                "short",
                ((f"{_rate('caudal_commit_batch_size_sum')} / {_rate('caudal_commit_batch_size_count')}", "mean"),),
            ),
            Panel(
                "Batches that did not commit",
                "ops",
                (
                    (
                        _rate("caudal_commit_batches_total", "caudal_outcome", 'caudal_outcome!="committed"'),
                        "{{caudal_outcome}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Providers",
        (
            Panel(
                "Calls",
                "ops",
                (
                    (
                        _rate("caudal_provider_calls_total", "caudal_provider, caudal_mode"),
                        "{{caudal_provider}} {{caudal_mode}}",
                    ),
                ),
            ),
            Panel("A call takes (p95)", "s", ((_quantile(0.95, _CALL, "caudal_provider"), "{{caudal_provider}}"),)),
            Panel(
                "Calls without an outcome",
                "percentunit",
                (
                    (
                        f"{_rate('caudal_provider_failed_total', 'caudal_provider')}"
                        f" / {_rate('caudal_provider_calls_total', 'caudal_provider')}",
                        "{{caudal_provider}}",
                    ),
                ),
            ),
            Panel(
                "Breakers that are not closed, or are forced",
                "short",
                (
                    (
                        f'max by ({_STATE}) (caudal_provider_breaker_state{{caudal_state!="closed"}})',
                        "{{caudal_provider}} {{caudal_mode}} {{caudal_state}}",
                    ),
                    (
                        f"max by ({_STATE}) (caudal_provider_forced)",
                        "{{caudal_provider}} {{caudal_mode}} forced {{caudal_state}}",
                    ),
                ),
                "What an operator forces open is not asked, what is forced closed is, whatever its breaker says.",
            ),
            Panel(
                "In flight",
                "short",
                (
                    (
                        "sum by (caudal_provider, caudal_mode) (caudal_provider_in_flight)",
                        "{{caudal_provider}} {{caudal_mode}}",
                    ),
                ),
            ),
            Panel(
                "Turned away",
                "ops",
                ((_rate("caudal_provider_turned_away_total", "caudal_provider"), "{{caudal_provider}}"),),
            ),
        ),
    ),
    (
        "Money, books and what is open",
        (
            Panel(
                "Money on its way",
                "short",
                (
                    (
                        "sum by (caudal_currency, caudal_state, caudal_mode) (caudal_money_in_flight)",
                        "{{caudal_currency}} {{caudal_state}} {{caudal_mode}}",
                    ),
                ),
                "Minor units.",
            ),
            Panel(
                "The house's accounts",
                "short",
                (
                    (
                        "sum by (caudal_currency, caudal_account, caudal_mode) (caudal_money_house)",
                        "{{caudal_currency}} {{caudal_account}} {{caudal_mode}}",
                    ),
                ),
                "Minor units, debits less credits: above zero is what others owe the house. docs/money.md.",
            ),
            Panel(
                "Unknown outcomes and discrepancies",
                "short",
                (
                    ("max(caudal_unresolved_outcomes)", "unknown outcomes"),
                    ("sum(caudal_discrepancies_open)", "discrepancies"),
                ),
            ),
            Panel(
                "Laws of the books: rows that break them",
                "short",
                (
                    (
                        "max by (caudal_shard, caudal_check) (caudal_ledger_check_violations)",
                        "{{caudal_check}}, shard {{caudal_shard}}",
                    ),
                ),
            ),
            Panel(
                "Last looked at",
                "s",
                (
                    (
                        "time() - (max by (caudal_shard, caudal_check)"
                        " (caudal_ledger_check_last_run_timestamp_seconds) > 0)",
                        "{{caudal_check}}, shard {{caudal_shard}}",
                    ),
                ),
                "In full, shard by shard. Of what has no line: never, or not since its laws are what they are.",
            ),
            Panel(
                "Alarms",
                "ops",
                (
                    (
                        _rate("caudal_commit_alarms_total", "instance, caudal_shard"),
                        "{{instance}}, shard {{caudal_shard}}",
                    ),
                ),
                "Commands and batches that broke.",
            ),
        ),
    ),
    (
        "Webhooks and sweeps",
        (
            Panel(
                "Deliveries",
                "ops",
                ((_rate("caudal_webhook_deliveries_total", "caudal_outcome"), "{{caudal_outcome}}"),),
            ),
            Panel("How late", "s", (("max by (caudal_state) (caudal_webhook_lag_seconds)", "{{caudal_state}}"),)),
            Panel("An endpoint takes", "s", _percentiles("caudal_webhook_attempt_duration_seconds")),
            Panel(
                "Events behind", "short", (("max by (caudal_consumer) (caudal_consumer_lag)", "{{caudal_consumer}}"),)
            ),
            Panel(
                "Due for",
                "s",
                (
                    (
                        "max by (caudal_shard, caudal_job) (caudal_due_oldest_age_seconds)",
                        "{{caudal_job}}, shard {{caudal_shard}}",
                    ),
                ),
                "And nobody has taken it. What was tried in vain is in the next panel.",
            ),
            Panel(
                "Tried in vain",
                "short",
                (
                    (
                        "sum by (caudal_job) (max by (caudal_shard, caudal_job) (caudal_due_in_vain))",
                        "{{caudal_job}}",
                    ),
                ),
                "Pieces of due work that did not end and wait for their next try.",
            ),
            Panel(
                "Work done",
                "ops",
                (
                    (
                        _rate("caudal_job_duration_seconds_count", "caudal_job, caudal_outcome"),
                        "{{caudal_job}} {{caudal_outcome}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                "CPU",
                "percentunit",
                (("sum by (instance) (rate(process_cpu_time_seconds_total[$__rate_interval]))", "{{instance}}"),),
            ),
            Panel("Memory", "bytes", (("process_memory_usage_bytes", "{{instance}}"),)),
            Panel(
                "The loop is late by (p99)",
                "s",
                ((_quantile(0.99, "caudal_loop_delay_seconds", "instance"), "{{instance}}"),),
            ),
            Panel(
                "Database connections",
                "short",
                (
                    (
                        "sum by (db_client_connection_pool_name, db_client_connection_state)"
                        " (db_client_connection_count)",
                        "{{db_client_connection_pool_name}} {{db_client_connection_state}}",
                    ),
                ),
            ),
            Panel("Lines logged", "ops", ((_rate("caudal_log_records_total", "caudal_level"), "{{caudal_level}}"),)),
            Panel(
                "Ready", "short", (("min by (instance, caudal_check) (caudal_ready)", "{{instance}} {{caudal_check}}"),)
            ),
        ),
    ),
)


def dashboard() -> str:
    """The JSON that Grafana imports."""
    panels: list[Json] = []
    top = 0
    for title, row in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top}})  # fmt: skip
        top += 1
        for place, panel in enumerate(row):
            x, y = place * _WIDE % _COLUMNS, top + place * _WIDE // _COLUMNS * _HIGH
            panels.append(_panel(panel, len(panels) + 1, x, y))
        top += -(-len(row) * _WIDE // _COLUMNS) * _HIGH
    return json.dumps(_page(panels), indent=1, ensure_ascii=False) + "\n"


def _page(panels: list[Json]) -> Json:
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "caudal",
        "title": "caudal",
        "tags": ["caudal"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def _panel(panel: Panel, id: int, x: int, y: int) -> Json:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": {"h": _HIGH, "w": _WIDE, "x": x, "y": y},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": {"fillOpacity": 8, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def queries() -> list[tuple[str, str]]:
    """Every query of the page, with its panel's title."""
    return [(panel.title, expr) for _, row in ROWS for panel in row for expr, _ in panel.queries]
