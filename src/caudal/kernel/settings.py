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
# Read by the neighbouring processes, not by caudal itself.
FOREIGN: Final = frozenset({"CAUDAL_SANDBOX_SPEI_SECRET"})


class SettingError(Exception):
    """A setting is missing, misspelt or not of its type."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process."""

    # Where things are
    database_url: Annotated[
        str | None, Meta(description="PostgreSQL ≥ 17 to use (URL or conninfo); unset: the embedded one")
    ] = None
    var: Annotated[str, Meta(description="directory of the embedded database, logs and secrets")] = "var"
    host: Annotated[str, Meta(description="address that the API listens on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port of the API; `caudal up` takes the next free one")] = (
        8700
    )
    sandbox_port: Annotated[int, Meta(ge=0, le=65535, description="port of the sandbox, likewise")] = 8701
    sandbox_url: Annotated[
        str | None, Meta(description="the sandbox's address, for returns and the payer's page; unset: no sandbox")
    ] = None
    web_processes: Annotated[int, Meta(ge=1, le=64, description="API processes that `caudal up` starts")] = 1
    shard: Annotated[int, Meta(ge=0, description="shard on which new merchants are placed")] = 0

    # Secrets
    kek: Annotated[
        str | None,
        Meta(description="key-encryption key, base64 of 32 bytes: seals payers' data, keys fingerprints and search"),
    ] = None
    spei_secret_test: Annotated[str | None, Meta(description="secret that signs the test bank's callbacks")] = None
    spei_secret_live: Annotated[str | None, Meta(description="secret that signs the live bank's callbacks")] = None
    spei_prefix: Annotated[
        str, Meta(pattern=r"^\d{6}$", description="bank and plaza (6 digits) of the CLABEs that we give out")
    ] = "646180"

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
            description="first commands that may wait at once in one process; facts are never refused",
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
        Meta(gt=0, le=1, description="part of the queue that one merchant may hold while others wait too"),
    ] = 0.5

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
    worker_poll_s: Annotated[float, Meta(gt=0, description="pause between looks for due work, seconds")] = 0.2
    worker_share: Annotated[
        float, Meta(gt=0, le=1, description="part of one core that projections may take while they catch up")
    ] = 0.15
    key_days: Annotated[int, Meta(ge=1, description="how long idempotency keys are kept, days")] = 30
    event_days: Annotated[int, Meta(ge=31, description="how long events are kept, days")] = 365

    # Logs
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="least level that is logged")
    ] = "info"
    log_json: Annotated[bool, Meta(description="logs as JSON lines; otherwise for people")] = True

    def kek_bytes(self) -> bytes:
        """The key-encryption key. Raises SettingError when unset or not 32 bytes of base64."""
        if self.kek is None:
            raise SettingError("CAUDAL_KEK is not set: base64 of 32 random bytes, e.g. `openssl rand -base64 32`")
        try:
            key = base64.b64decode(self.kek, validate=True)
        except binascii.Error as error:
            raise SettingError("CAUDAL_KEK is not base64") from error
        if len(key) != 32:
            raise SettingError(f"CAUDAL_KEK has {len(key)} bytes instead of 32")
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
    return Settings(**values)
