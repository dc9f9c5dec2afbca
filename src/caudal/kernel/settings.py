"""Every setting: an environment variable `CAUDAL_<NAME>`, typed, with its meaning and its default.

docs/settings.md is generated from this table. A variable that starts with `CAUDAL_` and is not in it is an error,
so that a misspelt setting never stays silent.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Final, get_type_hints

import msgspec
from msgspec import Meta

PREFIX: Final = "CAUDAL_"
# Read by the neighbouring processes, not by caudal itself: what each means.
FOREIGN: Final = {
    "CAUDAL_SANDBOX_SPEI_SECRET": "secret that signs the sandbox bank's callbacks and returns, the same as "
    "`CAUDAL_SPEI_SECRET_TEST` of caudal; needed; `caudal up` sets both",
    "CAUDAL_SANDBOX_PROVIDER_SECRET": "secret that signs the sandbox providers' calls and callbacks, the same as "
    "`CAUDAL_PROVIDER_SECRET_TEST` of caudal; unset: one that nobody knows; `caudal up` sets both",
    "CAUDAL_SANDBOX_PROVIDERS": "further providers of the sandbox, `NAME=SECRET` by commas; `caudal up` has two",
}


class SettingError(Exception):
    """A setting is missing, misspelt or not of its type."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process."""

    # Where things are
    database_url: Annotated[
        str | None,
        Meta(
            description="PostgreSQL ≥ 17 to use (URL or conninfo; a primary and its standbys: `postgresql://a,b/caudal`);"
            " unset: the embedded one"
        ),
    ] = None
    database_synchronous: Annotated[
        bool, Meta(description="write only to a primary whose commits wait for a standby (`synchronous_standby_names`)")
    ] = False
    var: Annotated[str, Meta(description="directory of the embedded database, logs and secrets")] = "var"
    host: Annotated[str, Meta(description="address that the API listens on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port of the API; `caudal up` takes the next free one")] = (
        8700
    )
    sandbox_port: Annotated[int, Meta(ge=0, le=65535, description="port of the sandbox, likewise")] = 8701
    sandbox_url: Annotated[
        str | None, Meta(description="the sandbox's address: test providers, bank, payer's page; unset: no sandbox")
    ] = None
    web_processes: Annotated[int, Meta(ge=1, le=64, description="API processes that `caudal up` starts")] = 1
    shards: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="how many shards `caudal up` and `caudal migrate` make in the database; they only grow",
        ),
    ] = 1
    share_port: Annotated[
        bool, Meta(description="other API processes with this setting may listen on the same port; `caudal up` sets it")
    ] = False

    # Secrets
    kek: Annotated[
        str | None,
        Meta(description="key-encryption key, base64 of 32 bytes: seals payers' data, keys fingerprints and search"),
    ] = None
    kek_former: Annotated[
        str | None,
        Meta(description="key-encryption keys before this one, separated by commas: what they sealed still opens"),
    ] = None
    spei_secret_test: Annotated[str | None, Meta(description="secret that signs the test bank's callbacks")] = None
    spei_secret_live: Annotated[str | None, Meta(description="secret that signs the live bank's callbacks")] = None
    spei_url_live: Annotated[
        str | None, Meta(description="the live bank's address, for what goes back; unset: live transfers are refused")
    ] = None
    spei_prefix: Annotated[
        str,
        Meta(
            pattern=r"^\d{6}$",
            description="bank and plaza (6 digits) of the CLABEs that we give out; shard n has this number plus n",
        ),
    ] = "646180"

    # Providers
    providers: Annotated[
        str | None,
        Meta(description="TOML file that names the providers (docs/providers.md); unset: the sandbox alone"),
    ] = None
    provider_secret_test: Annotated[
        str | None,
        Meta(description="secret that signs calls to and from the sandbox where no file names providers; unset: none"),
    ] = None
    provider_secret_live: Annotated[
        str | None, Meta(description="secret that signs live callbacks, where no file names providers")
    ] = None
    provider_concurrency: Annotated[
        int, Meta(ge=1, description="calls to one provider that one process has under way at once")
    ] = 128
    provider_connect_timeout_ms: Annotated[
        int, Meta(ge=1, description="how long a connection to a provider may take, milliseconds")
    ] = 1000
    provider_timeout_ms: Annotated[
        int, Meta(ge=1, description="how long one try may wait for a provider's whole answer, milliseconds")
    ] = 4000
    provider_tries: Annotated[
        int, Meta(ge=1, le=10, description="how often a call is tried at most, where that is safe and time is left")
    ] = 3
    provider_breaker_failures: Annotated[
        int, Meta(ge=1, description="tries that fail in a row until a provider's breaker opens")
    ] = 10
    provider_breaker_open_s: Annotated[
        float, Meta(gt=0, description="how long an open breaker lets nothing through before it probes, seconds")
    ] = 5.0

    # The write path
    max_batch: Annotated[int, Meta(ge=1, le=4096, description="commands in one batch at most")] = 256
    bulk_hold_ms: Annotated[
        float, Meta(gt=0, description="how long bulk work may hold the shard's lock in one batch, milliseconds")
    ] = 5.0
    batch_deadline_s: Annotated[
        float, Meta(gt=0, description="a batch that has no answer by then loses its connection, seconds")
    ] = 8.0
    request_timeout_ms: Annotated[
        int, Meta(ge=1, description="a request's deadline where the caller names none, milliseconds")
    ] = 10_000
    queue_limit: Annotated[
        int,
        Meta(
            ge=1,
            description="commands that may wait before a new one in one process; facts take room and are never refused",
        ),
    ] = 8192
    merchant_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="first commands per second of one book in one process, one second's burst; 0: any",
        ),
    ] = 0
    merchant_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="part that one merchant may hold of the places behind which others still find room; the rest "
            "is kept for them (1: nothing is)",
        ),
    ] = 0.5

    # Ending and starting
    stop_s: Annotated[
        float,
        Meta(gt=0, description="how long a process that is asked to stop may take; what is left then is broken off"),
    ] = 25.0
    stop_notice_s: Annotated[
        float,
        Meta(
            ge=0,
            description="how long an API process that is asked to stop still takes connections while `/readyz` says "
            "503, for balancers that look there; `caudal up` sets 0",
        ),
    ] = 1.0
    worker_processes: Annotated[int, Meta(ge=0, le=64, description="workers that `caudal up` starts")] = 1
    ready_fd: Annotated[
        int | None,
        Meta(
            description="file descriptor, 3 or more, that a process inherits: it begins when its checks pass, and says "
            "there line by line what it lacks, and `ready` at last; `caudal up` sets it",
        ),
    ] = None

    # Edge
    body_limit_bytes: Annotated[int, Meta(ge=1024, description="largest request body, bytes")] = 65_536
    signature_window_s: Annotated[
        int, Meta(ge=1, description="age at which a signed request or callback is refused, seconds")
    ] = 300
    key_cache_s: Annotated[
        float, Meta(ge=0, le=1, description="how long an API key is remembered without asking, seconds (at most 1)")
    ] = 1.0

    # Work that is due
    lease_s: Annotated[float, Meta(gt=0, description="how long a worker holds a piece of due work, seconds")] = 30.0
    loop_late_s: Annotated[
        float,
        Meta(
            gt=0,
            description="how much later than it is due a worker's loop may turn before `/readyz` says 503, seconds",
        ),
    ] = 60.0
    worker_poll_s: Annotated[float, Meta(gt=0, description="pause between looks for due work, seconds")] = 0.2
    worker_share: Annotated[
        float, Meta(gt=0, le=1, description="part of one core that projections may take while they catch up")
    ] = 0.15
    check_share: Annotated[
        float,
        Meta(gt=0, le=1, description="part of the time that one worker holds the laws of the books against the rows"),
    ] = 0.03
    watch_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=300,
            description="how often one worker gathers what only the database knows, seconds",
        ),
    ] = 15.0
    key_days: Annotated[int, Meta(ge=1, description="how long idempotency keys are kept, days")] = 30
    event_days: Annotated[int, Meta(ge=31, description="how long events are kept, days")] = 365

    # Webhooks
    webhook_loopback: Annotated[
        bool, Meta(description="test-mode endpoints may name this machine; for trying things, never on a server")
    ] = False
    webhook_timeout_s: Annotated[float, Meta(gt=0, le=60, description="an endpoint's time to answer, seconds")] = 15.0
    webhook_width: Annotated[int, Meta(ge=1, le=256, description="messages on their way to one endpoint at once")] = 16
    webhook_retry_factor: Annotated[
        float, Meta(gt=0, le=10, description="the pauses between the attempts of a delivery, times this")
    ] = 1.0
    webhook_patience_days: Annotated[
        float, Meta(gt=0, description="an endpoint of which only failures came for so long is disabled, days")
    ] = 5.0
    webhook_days: Annotated[int, Meta(ge=8, description="how long deliveries and their attempts are kept, days")] = 30

    # Seeing it run
    metrics_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="the operator's port of this process: `/metrics` for Prometheus, `/livez`, `/readyz`; 0: none; "
            "`caudal up` gives its processes free ones in a row, from 8702 on where this is 0",
        ),
    ] = 0
    metrics_host: Annotated[
        str, Meta(description="address that the operator's port listens on; whoever reaches it reads the figures")
    ] = "127.0.0.1"

    trace_slow_ms: Annotated[
        int,
        Meta(ge=0, description="what takes as long is kept in traces, whatever is sampled, milliseconds"),
    ] = 1000

    # Logs
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="least level that is logged")
    ] = "info"
    log_json: Annotated[bool, Meta(description="logs as JSON lines; otherwise for people")] = True

    def kek_bytes(self) -> bytes:
        """The key-encryption key. Raises SettingError when unset or not 32 bytes of base64."""
        if self.kek is None:
            raise SettingError("CAUDAL_KEK is not set: base64 of 32 random bytes, e.g. `openssl rand -base64 32`")
        return _key_bytes("CAUDAL_KEK", self.kek)

    def former_keks(self) -> tuple[bytes, ...]:
        """The key-encryption keys before this one. Raises SettingError when one is not 32 bytes of base64."""
        texts = [] if self.kek_former is None else self.kek_former.split(",")
        return tuple(_key_bytes("CAUDAL_KEK_FORMER", text.strip()) for text in texts)


def _key_bytes(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SettingError(f"{name} is not base64") from error
    if len(key) != 32:
        raise SettingError(f"{name} has {len(key)} bytes instead of 32")
    return key


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in an environment (this process's by default). Raises SettingError naming the variable."""
    given = os.environ if environment is None else environment
    names = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    hints, values = get_type_hints(Settings, include_extras=True), {}
    for variable, text in given.items():
        if not variable.startswith(PREFIX) or variable in FOREIGN:
            continue
        if variable not in names:
            near = difflib.get_close_matches(variable, names, n=1)
            raise SettingError(f"{variable} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
        name = names[variable]
        if text == "" and getattr(Settings(), name) is None:
            continue
        try:
            values[name] = msgspec.convert(text, hints[name], strict=False)
        except msgspec.ValidationError as error:
            raise SettingError(f"{variable}={text!r}: {error}") from error
    loaded = Settings(**values)
    for name in ("spei_secret", "provider_secret"):
        secret = getattr(loaded, f"{name}_test")
        if secret and secret == getattr(loaded, f"{name}_live"):
            variable = PREFIX + name.upper()
            raise SettingError(f"{variable}_LIVE is the same as {variable}_TEST: play money would count as real")
    return loaded
