"""Somebody asked: parse, authorise, call a command. Endpoints, and what is delivered to them."""

from typing import Final

from caudal.kernel.http import Route
from caudal.webhooks.http import deliveries, endpoints

ROUTES: Final[tuple[Route, ...]] = (*endpoints.ROUTES, *deliveries.ROUTES, *endpoints.LAST)

__all__ = ["ROUTES"]
