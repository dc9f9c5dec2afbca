"""`caudal operator provider …`: what operators decide about providers, for whoever may open the database."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, cast

import typer

from caudal.app.administration import AsJson, print_one, print_rows, run_within
from caudal.connectors import links, provider_of
from caudal.kernel.context import Context
from caudal.kernel.errors import Invalid, Refused
from caudal.merchants import CLI
from caudal.payins import Draining, Forcing, OverrideBody, override_provider, overrides

_COLUMNS = ("provider", "mode", "forced", "forced_until", "forced_reason", "drained", "drained_reason", "changed_at")

provider = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Providers: a breaker that is forced, a drain. Every process counts it within a second; it survives restarts. "
    "Needs CAUDAL_DATABASE_URL and CAUDAL_KEK, or a `caudal up` here. Exits 0, or 2 with the reason.",
)
Name = Annotated[str, typer.Argument(help="The provider's name, as the configuration has it.", metavar="PROVIDER")]
Mode = Annotated[str, typer.Option(help="Which of its two worlds: test or live.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever reads the audit trail; 3 to 1000 characters.")]


@provider.command("list", epilog="Example: caudal operator provider list --json")
def provider_list(as_json: AsJson = False) -> None:
    """Show every decision that there is."""

    async def work(context: Context) -> list[OverrideBody]:
        return await overrides(context)

    print_rows(run_within(work), _COLUMNS, as_json)


@provider.command("force", epilog="Example: caudal operator provider force norte open --reason 'their incident 4711'")
def provider_force(
    name: Name,
    breaker: Annotated[str, typer.Argument(help="open (nobody is asked), closed (everybody) or automatic.")],
    reason: Reason,
    until: Annotated[
        str | None, typer.Option(help="RFC 3339 with a zone; left out: until it is changed.", metavar="TIME")
    ] = None,
    mode: Mode = "test",
    as_json: AsJson = False,
) -> None:
    """Force a provider's breaker, or let it decide by itself again."""
    print_one(run_within(lambda context: _say(context, name, mode, _forcing(breaker, reason, until))), as_json)


@provider.command("drain", epilog="Example: caudal operator provider drain norte --reason 'maintenance on Sunday'")
def provider_drain(
    name: Name,
    reason: Reason,
    end: Annotated[bool, typer.Option("--end", help="New payments are welcome again.")] = False,
    mode: Mode = "test",
    as_json: AsJson = False,
) -> None:
    """Send no new payments to a provider; captures, refunds, questions and sweeps go on."""
    said = Draining(drained=not end, reason=reason)
    print_one(run_within(lambda context: _say(context, name, mode, said)), as_json)


def _forcing(breaker: str, reason: str, until: str | None) -> Forcing:
    """Raises Invalid."""
    if breaker not in ("open", "closed", "automatic"):
        raise Invalid("invalid_request", f"{breaker!r} is none of open, closed, automatic")
    try:
        at = None if until is None else datetime.fromisoformat(until)
    except ValueError:
        at = None
    if until is not None and (at is None or at.tzinfo is None):
        raise Invalid("invalid_request", f"{until!r} is no time of RFC 3339 with a zone")
    return Forcing(breaker=cast("Literal['open', 'closed', 'automatic']", breaker), reason=reason, until=at)


async def _say(context: Context, name: str, given: str, said: Forcing | Draining) -> OverrideBody:
    if given not in ("test", "live"):
        raise Invalid("invalid_request", f"{given!r} is neither test nor live")
    mode = cast("Literal['test', 'live']", given)
    if not 3 <= len(said.reason) <= 1000 or "\x00" in said.reason:
        raise Invalid("invalid_request", "a reason has 3 to 1000 characters")
    if provider_of(context, name, mode) is None:
        known = ", ".join(sorted(link.provider.name for link in links(context) if link.provider.mode == mode)) or "none"
        raise Refused("not_found", f"there is no {mode} provider {name!r}; there are: {known}")
    return await override_provider(context, CLI, name, mode, said)
