"""The settings of a command: from the environment, or from the `caudal up` that runs here; and a context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psycopg

from caudal.app import state
from caudal.kernel.errors import Retry
from caudal.kernel.settings import SettingError, Settings, load

if TYPE_CHECKING:
    from caudal.kernel.context import Context

_ANSWER_S: Final = 5  # of one host


def settings() -> Settings:
    """Settings with a database and its secrets. Raises SettingError where there is neither variable nor `caudal up`."""
    found = load()
    if found.database_url is not None:
        return found
    var = Path(found.var)
    ready = state.read_ready(var)
    if ready is None or ready.pid != state.holder(var):  # that of one that was killed stays behind
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


@asynccontextmanager
async def entered(name: str, readers: int = 4) -> AsyncIterator[Context]:
    """A command's way to the world. A service waits for its database; a command says at once why it does not answer.

    Raises Retry then, SettingError, and what entering a context raises.
    """
    from caudal.kernel.context import Context

    found = settings()
    try:
        url = found.database_url or ""
        await (await psycopg.AsyncConnection.connect(url, connect_timeout=_ANSWER_S)).close()
    except psycopg.Error as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise Retry("database_unavailable", f"the database does not answer: {why}") from error
    async with Context(found, name=name, readers=readers) as context:
        yield context
