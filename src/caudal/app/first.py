"""The first start: the schema, an operator, and a merchant to try things with."""

from __future__ import annotations

from caudal.app import state
from caudal.app.migrate import MigrationError, migrate
from caudal.app.up import Prepared
from caudal.kernel.context import Context
from caudal.kernel.settings import Settings
from caudal.merchants import first_merchant, first_operator

DEMO_MERCHANT = "Tienda Ana"


async def prepare(settings: Settings, secrets: state.Secrets) -> Prepared:
    """Migrates, and makes the keys that this directory does not have yet. Raises UpError: the database is newer."""
    assert settings.database_url is not None, "the database is up by now"
    try:
        await migrate(settings.database_url, shards=settings.shards)
    except MigrationError as error:
        raise state.UpError(str(error)) from error
    operator_key, demo_key = secrets.operator_key, secrets.demo_key
    async with Context(settings, name="first", readers=1) as context:
        if operator_key is None:
            operator_key = await first_operator(context)
        if demo_key is None:
            _, demo_key = await first_merchant(context, DEMO_MERCHANT, "MX")
    return Prepared(operator_key=operator_key, demo_key=demo_key)
