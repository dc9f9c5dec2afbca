"""Every operation of the API, in one flat list, and the way from a path to its handler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from caudal.app import http as own
from caudal.app import trace
from caudal.kernel.errors import MethodNotAllowed, Refused
from caudal.kernel.http import Route
from caudal.merchants import http as merchants
from caudal.payins import http as payins
from caudal.routing import http as routing
from caudal.settlement import http as settlement
from caudal.vault import http as vault
from caudal.webhooks import http as webhooks

ROUTES: Final[tuple[Route, ...]] = (
    *payins.ROUTES,
    *routing.ROUTES,
    *vault.ROUTES,
    *webhooks.ROUTES,
    *settlement.ROUTES,
    *own.ROUTES,
    *trace.ROUTES,
    *merchants.ROUTES,
)


class Router:
    """Finds a route: exact paths by one look-up, paths with parameters by their segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._shaped: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        self._methods: dict[str, set[str]] = {}
        for route in routes:
            if "{" in route.path:
                segments = tuple(route.path.split("/"))
                self._shaped.setdefault((route.method, len(segments)), []).append((segments, route))
            else:
                assert (route.method, route.path) not in self._exact, f"{route.path} is there twice"
                self._exact[route.method, route.path] = route

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """The route and its parameters. Raises Refused: no_such_route, method_not_allowed."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, ()
        segments = tuple(path.rstrip("/").split("/")) if path != "/" else ("", "")
        plain = "/".join(segments)
        if (method, plain) in self._exact:
            return self._exact[method, plain], ()
        found = self._shaped_route(method, segments)
        if found is not None:
            return found
        allowed = [
            other
            for other in ("GET", "POST")
            if (other, plain) in self._exact or self._shaped_route(other, segments) is not None
        ]
        if allowed:
            raise MethodNotAllowed(plain[:200], ", ".join(allowed))
        raise Refused("no_such_route", f"there is no {plain[:200]}")

    def _shaped_route(self, method: str, segments: tuple[str, ...]) -> tuple[Route, tuple[str, ...]] | None:
        for shape, route in self._shaped.get((method, len(segments)), ()):
            if all(s[:1] == "{" or s == given for s, given in zip(shape, segments, strict=True)):
                values = tuple(given for s, given in zip(shape, segments, strict=True) if s[:1] == "{")
                return route, values
        return None
