"""The settings of a command: from the environment, or from the `caudal up` that runs in this directory."""

from __future__ import annotations

from pathlib import Path

import msgspec

from caudal.app import state
from caudal.kernel.settings import SettingError, Settings, load


def settings() -> Settings:
    """Settings with a database and its secrets. Raises SettingError where there is neither variable nor `caudal up`."""
    found = load()
    if found.database_url is not None:
        return found
    var = Path(found.var)
    ready = state.read_ready(var)
    if ready is None:
        raise SettingError(f"CAUDAL_DATABASE_URL is not set and no `caudal up` runs in {var.absolute()}")
    secrets = state.read_secrets(var, may_make=False)
    return msgspec.structs.replace(
        found,
        database_url=ready.database_url,
        sandbox_url=ready.sandbox_url or None,
        providers=found.providers or ready.providers or None,
        kek=found.kek or secrets.kek,
        spei_secret_test=found.spei_secret_test or secrets.spei_secret_test,
        spei_secret_live=found.spei_secret_live or secrets.spei_secret_live,
        provider_secret_test=found.provider_secret_test or secrets.provider_secret_test,
    )
