"""This process's way to each provider in each mode: what it may be asked, what stands around it, its connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caudal.connectors.around import Around
from caudal.connectors.model import Mode
from caudal.connectors.providers import FIRST, Provider, banks_of, providers_of
from caudal.connectors.signed import Secrets
from caudal.kernel.context import Context
from caudal.kernel.exchange import Lines
from caudal.kernel.settings import Settings
from caudal.kernel.telemetry import Attributes, Histogram, Reading, histogram, redact

# The methods that have a connector; the folder of each stands in the registry.
METHODS: Final = ("boleto", "card", "mpesa", "pix", "pse")
LARGEST: Final = 65_536  # bytes of an answer, and of a body that is sent at once


class Link:
    """The way to one provider in one mode. It connects at the first call."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.around = provider, Around(provider)
        self._times = dict[tuple[str, str, str], Histogram]()
        self._lines: Lines | None = None

    @property
    def lines(self) -> Lines:
        """The connections; their number is the slots' that are counted around."""
        if self._lines is None:
            assert self.provider.url is not None, "nobody can be asked"
            # An idle connection is dropped before the provider does it.
            self._lines = Lines(self.provider.url, kept_s=4.0, largest=LARGEST)
        return self._lines

    def told(self, verb: str, path: str, status: int | None) -> Attributes:
        """What a span tells of a request to the provider; a question's parameters are left out."""
        address, port = self.lines.server
        told: Attributes = {
            "http.request.method": verb,
            "url.full": self.lines.origin + redact.text(self.lines.folder + path.partition("?")[0]),
            "server.address": address,
            "server.port": port,
            "caudal.provider": self.provider.name,
            "caudal.mode": self.provider.mode,
        }
        return told if status is None else told | {"http.response.status_code": status}

    def took(self, method: str, operation: str, outcome: str, seconds: float) -> None:
        """One try of a call has ended."""
        found = self._times.get((method, operation, outcome))
        if found is None:
            found = self._times[method, operation, outcome] = histogram("caudal.provider.call.duration")
        found.record(seconds)

    def readings(self) -> Iterator[Reading]:
        """What was counted here, for the meter."""
        of, now = (self.provider.name, self.provider.mode), self.around.health()
        for asked, times in self._times.items():
            yield "caudal.provider.call.duration", (*of, *asked), times
        yield "caudal.provider.calls", of, now.calls
        yield "caudal.provider.failed", of, now.failed
        yield "caudal.provider.repeated", of, now.repeated
        yield "caudal.provider.turned_away", of, now.turned_away
        yield "caudal.provider.in_flight", of, now.in_flight
        yield "caudal.provider.concurrency_limit", of, self.provider.concurrency
        for state in ("closed", "half_open", "open"):
            yield "caudal.provider.breaker.state", (*of, state), now.breaker == state
        for state in ("closed", "open"):
            yield "caudal.provider.forced", (*of, state), now.forced == state
        yield "caudal.provider.drained", of, now.drained
        yield "caudal.provider.failure_share", of, now.failure_share
        yield "caudal.provider.slow_share", of, now.slow_share

    def available(self) -> bool:
        """Whether a call could be made now."""
        return self.provider.url is not None and self.around.available()

    def welcomes(self) -> bool:
        """Whether a new payment could begin here now."""
        return self.provider.url is not None and self.around.welcomes()

    async def close(self) -> None:
        """Ends the connections."""
        if self._lines is not None:
            await self._lines.close()


class Links:
    """The ways of one process: providers in the order of the configuration, then banks. Raises SettingError for a wrong
    one. A bank is asked like any provider, and no payment is made there: its callbacks have a way of their own.
    """

    def __init__(self, settings: Settings) -> None:
        providers = providers_of(settings, frozenset(METHODS))
        self._links = {(provider.name, provider.mode): Link(provider) for provider in (*providers, *banks_of(settings))}
        self._secrets = dict[str, Secrets]()
        window_s = settings.signature_window_s
        for name in dict.fromkeys(provider.name for provider in providers):
            self._secrets[name] = Secrets(self._secret(name, "test"), self._secret(name, "live"), window_s)
        if settings.providers is None:
            self._secrets[FIRST] = Secrets(settings.provider_secret_test, settings.provider_secret_live, window_s)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    def of(self, name: str, mode: Mode) -> Link | None:
        """The way to a provider; None where the configuration has none of this name and mode."""
        return self._links.get((name, mode))

    def secrets(self, name: str) -> Secrets | None:
        """The secrets of a provider's callbacks; None for a name that nobody has."""
        return self._secrets.get(name)

    def readings(self) -> Iterator[Reading]:
        """What was counted of all that can be asked, for the meter."""
        for link in self:
            if link.provider.url is not None:
                yield from link.readings()

    async def close(self) -> None:
        """Ends all connections."""
        for link in self:
            await link.close()

    def _secret(self, name: str, mode: Mode) -> str | None:
        link = self._links.get((name, mode))
        return None if link is None else link.provider.secret


def _opened(context: Context) -> Links:
    links = Links(context.settings)
    context.closing.append(links.close)
    context.meter.add(links.readings)
    return links


def links(context: Context) -> Links:
    """The ways of this process."""
    return context.once(_opened)
