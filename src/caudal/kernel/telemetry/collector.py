"""Where telemetry leaves to, by the standard's environment variables. One that does not fit is named, and nothing runs.

The exporters of OpenTelemetry's SDK read addresses, headers and certificates from the environment themselves, take
what they do not understand for unset, and take times for seconds that are milliseconds in the standard: so all of it is
looked at here first.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from caudal.kernel.settings import SettingError
from caudal.kernel.telemetry.traces import Sampling

PACKAGES: Final = {"http/protobuf": "http", "grpc": "grpc"}
_SHARE: Final = 0.01  # of traces, where nobody says otherwise
_DAY_MS: Final = 86_400_000
_SPANS_MAX: Final = 1_000_000
_COMPRESSIONS: Final = {"http/protobuf": ("none", "gzip", "deflate"), "grpc": ("none", "gzip")}
_TARGET: Final = re.compile(r"[A-Za-z0-9._-]+:(\d{1,5})|\[[0-9a-fA-F:]+\]:(\d{1,5})")
_PORT_MAX: Final = 65_535


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """How one signal leaves."""

    protocol: str
    timeout_s: float
    compression: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Whether traces and metrics leave, how, and how many."""

    traces: Leaving | None
    metrics: Leaving | None
    sampling: Sampling
    every_s: float
    delay_s: float
    queue_max: int
    at_once: int


def endpoint_of(environment: Mapping[str, str] | None = None) -> Endpoint | None:
    """What the standard's variables say; None where nobody collects. Raises SettingError naming the variable."""
    given = _given(environment)
    resource_of(given)
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    traces, metrics = (_leaving(given, signal) for signal in ("TRACES", "METRICS"))
    if traces is None and metrics is None:
        return None
    return Endpoint(
        traces=traces,
        metrics=metrics,
        sampling=_sampling(given),
        every_s=_whole(given, "OTEL_METRIC_EXPORT_INTERVAL", 60_000, _DAY_MS) / 1000,
        delay_s=_whole(given, "OTEL_BSP_SCHEDULE_DELAY", 5_000, _DAY_MS) / 1000,
        queue_max=_whole(given, "OTEL_BSP_MAX_QUEUE_SIZE", 8_192, _SPANS_MAX),
        at_once=_whole(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, _SPANS_MAX),
    )


def resource_of(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What an operator calls this service: OTEL_SERVICE_NAME before OTEL_RESOURCE_ATTRIBUTES. Raises SettingError."""
    given, told = _given(environment), {}
    for pair in given.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, between, value = (part.strip() for part in pair.partition("="))
        if pair.strip() and not (between and name):
            raise SettingError(f"OTEL_RESOURCE_ATTRIBUTES={pair.strip()}: NAME=VALUE, by commas")
        if name:
            told[name] = unquote(value)
    if given.get("OTEL_SERVICE_NAME"):
        told["service.name"] = given["OTEL_SERVICE_NAME"]
    return told


def _given(environment: Mapping[str, str] | None) -> dict[str, str]:
    known = os.environ if environment is None else environment
    return {name: text.strip() for name, text in known.items() if name.startswith("OTEL_")}


def _leaving(given: Mapping[str, str], signal: str) -> Leaving | None:
    """How a signal leaves, if it does."""
    exporter = given.get(f"OTEL_{signal}_EXPORTER") or "otlp"
    if exporter not in ("otlp", "none"):
        raise SettingError(f"OTEL_{signal}_EXPORTER={exporter}: otlp or none (Prometheus has CAUDAL_METRICS_PORT)")
    if exporter == "none":
        return None
    where = _of(given, signal, "ENDPOINT")
    if where is None:
        return None
    name, protocol = _of(given, signal, "PROTOCOL") or ("", "http/protobuf")
    if protocol not in PACKAGES:
        raise SettingError(f"{name}={protocol}: {' or '.join(PACKAGES)}")
    _see_address(*where, protocol)
    _see_headers_and_files(given, signal)
    name, compression = _of(given, signal, "COMPRESSION") or ("", "none")
    if compression not in _COMPRESSIONS[protocol]:
        raise SettingError(f"{name}={compression}: {', '.join(_COMPRESSIONS[protocol])}")
    name, _ = _of(given, signal, "TIMEOUT") or ("", "")
    timeout_s = _whole(given, name, 10_000, _DAY_MS) / 1000
    return Leaving(protocol=protocol, timeout_s=timeout_s, compression=compression)


def _of(given: Mapping[str, str], signal: str, what: str) -> tuple[str, str] | None:
    """The variable that counts for a signal: its own before that of all."""
    names = (f"OTEL_EXPORTER_OTLP_{signal}_{what}", f"OTEL_EXPORTER_OTLP_{what}")
    return next(((name, given[name]) for name in names if given.get(name)), None)


def _see_address(name: str, text: str, protocol: str) -> None:
    """Raises SettingError for what is no address; gRPC takes one without a scheme, too."""
    fits = "http://HOST:PORT or https://…" + (" or HOST:PORT" if protocol == "grpc" else "")
    try:
        parts = urlsplit(text)
        found = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        found = False
    if not found and protocol == "grpc":
        target = _TARGET.fullmatch(text)
        found = target is not None and 0 < int(target[1] or target[2]) <= _PORT_MAX
    if not found:
        raise SettingError(f"{name}={text}: {fits}")


def _see_headers_and_files(given: Mapping[str, str], signal: str) -> None:
    """Raises SettingError for what the exporter could not use. What stands in headers is secret."""
    name, text = _of(given, signal, "HEADERS") or ("", "")
    for pair in text.split(","):
        header, between, _ = pair.strip().partition("=")
        if pair.strip() and not (between and header.strip()):
            raise SettingError(f"{name}: NAME=VALUE, by commas")
    for what in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
        name, text = _of(given, signal, what) or ("", "")
        if text and not (Path(text).is_file() and os.access(text, os.R_OK)):
            raise SettingError(f"{name}={text}: a file that can be read")


def _sampling(given: Mapping[str, str]) -> Sampling:
    """Without a sampler 1 % of what is well, whatever callers say: they are strangers, and their flag costs us."""
    name = given.get("OTEL_TRACES_SAMPLER") or "traceidratio"
    by_parent, kind = name.startswith("parentbased_"), name.removeprefix("parentbased_")
    shares = {"always_on": 1.0, "always_off": 0.0}
    if kind in shares:
        return Sampling(share=shares[kind], by_parent=by_parent)
    if kind != "traceidratio":
        known = ("always_on", "always_off", "traceidratio")
        raise SettingError(f"OTEL_TRACES_SAMPLER={name}: {', '.join(known)}, or one of these behind parentbased_")
    text = given.get("OTEL_TRACES_SAMPLER_ARG") or str(_SHARE)
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise SettingError(f"OTEL_TRACES_SAMPLER_ARG={text}: a number from 0 to 1")
    return Sampling(share=share, by_parent=by_parent)


def _whole(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number, at least 1: neither a time nor a size of nothing goes on."""
    text = given.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:20]) <= most:
        raise SettingError(f"{name}={text}: a whole number from 1 to {most}")
    return int(text)
