"""Where telemetry goes, by the standard's variables: each that does not fit is named at the start."""

from __future__ import annotations

import os
import re

import pytest

from caudal.app.telemetry import target_of
from caudal.kernel.context import Context
from caudal.kernel.settings import SettingError
from caudal.kernel.telemetry.collector import Leaving, endpoint_of

WHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
WHOLE = (
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({**WHERE, "OTEL_SDK_DISABLED": "true"}, None),
        ({**WHERE, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}, None),
        (WHERE, ("http/protobuf", "http/protobuf", 0.01, False)),
        ({**WHERE, "OTEL_METRICS_EXPORTER": "none"}, ("http/protobuf", None, 0.01, False)),
        ({**WHERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("grpc", "grpc", 0.01, False)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, (None, "http/protobuf", 0.01, False)),
        ({**WHERE, "OTEL_TRACES_SAMPLER": "parentbased_always_on"}, ("http/protobuf", "http/protobuf", 1.0, True)),
        (
            {**WHERE, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            ("http/protobuf", "http/protobuf", 0.25, False),
        ),
    ],
)
def test_the_standards_variables_rule(environment: dict[str, str], expected: object) -> None:
    found = endpoint_of({"PATH": "x", **environment})
    ways = found and [way and way.protocol for way in (found.traces, found.metrics)]
    as_told = found and (*(ways or ()), found.sampling.share, found.sampling.by_parent)
    assert as_told == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_TRACES_SAMPLER_ARG", "much"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        *((name, text) for name in WHOLE for text in ("0", "-1", "nan", "inf", "1.5", "much", "1e3", "9" * 30)),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://127.0.0.1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:99999"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/nowhere/key.pem"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}={re.escape(text)}: "):
        endpoint_of({**WHERE, name: text})


def test_headers_that_do_not_fit_are_named_and_not_shown() -> None:
    for text in ("secret", "=secret", "a=b,secret"):
        with pytest.raises(SettingError, match=r"^OTEL_EXPORTER_OTLP_HEADERS: NAME=VALUE, by commas$"):
            endpoint_of({**WHERE, "OTEL_EXPORTER_OTLP_HEADERS": text})


@pytest.mark.parametrize(
    ("text", "fits"),
    [("127.0.0.1:4317", True), ("[::1]:4317", True), ("http://x:4317", True), ("nonsense", False), ("x:0", False)],
)
def test_grpc_takes_an_address_without_a_scheme(text: str, fits: bool) -> None:
    given = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": text}
    if fits:
        assert endpoint_of(given) is not None
    else:
        with pytest.raises(SettingError, match=f"^OTEL_EXPORTER_OTLP_ENDPOINT={text}: http://HOST:PORT"):
            endpoint_of(given)


def test_a_signals_own_variable_is_before_that_of_all_and_times_are_milliseconds() -> None:
    found = endpoint_of(
        {
            **WHERE,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x:4317",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "deflate",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
        }
    )
    assert found is not None
    assert found.traces == Leaving(protocol="grpc", timeout_s=2.5, compression="gzip")
    assert found.metrics == Leaving(protocol="http/protobuf", timeout_s=0.5, compression="deflate")
    assert (found.delay_s, found.every_s, found.at_once, found.queue_max) == (0.25, 60.0, 1, 8_192)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "caudal"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=x,deployment.environment.name=prod"}, "x"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a%20b"}, "a b"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=x", "OTEL_SERVICE_NAME": "y"}, "y"),
    ],
)
def test_a_service_is_called_as_the_environment_says(
    given: dict[str, str], name: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, text in given.items():
        monkeypatch.setenv(variable, text)
    found = target_of(context)
    assert found["service.name"] == name
    assert found["process.pid"] == os.getpid(), "a number"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,process.pid=1,service.instance.id=x")
    mine = target_of(context)
    assert (mine["service.version"], mine["process.pid"]) == ("7", os.getpid())
    assert mine["service.instance.id"] == found["service.instance.id"], "or two processes would be one"
