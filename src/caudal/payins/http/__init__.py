"""Somebody asked: parse, authorise, call a command. One page for each kind of asker."""

from typing import Final

from caudal.kernel.http import Route
from caudal.payins.http import (
    bank,
    bulk,
    callbacks,
    discrepancies,
    disputes,
    merchants,
    operations,
    operators,
    providers,
    routing,
    sandbox,
    unresolved,
)

ROUTES: Final[tuple[Route, ...]] = (
    *merchants.ROUTES,
    *bulk.ROUTES,
    *routing.ROUTES,
    *operations.ROUTES,
    *disputes.ROUTES,
    *bank.ROUTES,
    *callbacks.ROUTES,
    *sandbox.ROUTES,
    *operators.ROUTES,
    *providers.ROUTES,
    *discrepancies.ROUTES,
    *unresolved.ROUTES,
)

__all__ = ["ROUTES"]
