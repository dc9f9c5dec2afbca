"""`caudal operator …` and `caudal merchant …`: for whoever may open the database. The same commands as the API's.

Errors go to standard error, and the exit status is 2. A key's text is printed by the command that makes it, once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
import psycopg
import typer

from caudal.app import running, state
from caudal.kernel import ids
from caudal.kernel.commit import Result
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, Invalid, Refused
from caudal.kernel.http import encode
from caudal.kernel.postgres import ClusterError
from caudal.kernel.settings import SettingError
from caudal.merchants import (
    CLI,
    SCOPES,
    KeyBody,
    MerchantBody,
    OperatorBody,
    Window,
    change_fees,
    change_settings,
    create_operator,
    http,
    key_body,
    list_keys,
    list_merchants,
    list_operators,
    operator_body,
    place_of,
    revoke_key,
    revoke_operator,
    rotate_key,
)

T = TypeVar("T")

_WRONG: Final = 2
_LIST_MAX: Final = 1000

_NEEDS: Final = "Needs CAUDAL_DATABASE_URL and CAUDAL_KEK, or a `caudal up` here. Exits 0, or 2 with the reason."
_WHO: Final = f"Who runs the platform, with keys of their own (op_…). {_NEEDS}"
_MERCHANTS: Final = f"Merchants, their prices, and their API keys (sk_test_…, sk_live_…). {_NEEDS}"

operator = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_WHO)
merchant = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_MERCHANTS)
key = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=f"A merchant's API keys, shown once and stored as a digest. {_NEEDS}",
)
merchant.add_typer(key, name="key")

_ID: Final = "mer_01a19b981dc071f08000014be2d90c77"
_CREATE: Final = (
    "Example: caudal merchant create --name 'Panadería Ana' --country MX --fee instant_transfer:MXN:300:100 --key test"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as the API answers.")]
Mode = Annotated[str, typer.Option(help="Which of the merchant's two sets of books: test or live.")]
MerchantId = Annotated[str, typer.Argument(help="mer_ and 32 hexadecimal digits.", metavar="MERCHANT")]
_FEE: Final = typer.Option(
    help="A line of the fee plan, FAMILY:CURRENCY:FIXED_MINOR:BASIS_POINTS; may be repeated. "
    "instant_transfer:MXN:300:100 is 3.00 MXN and 1 % of each bank transfer. What has no line is not sold."
)
LatePayments = Annotated[
    str, typer.Option(help="Money after a payin's expiry: accept (it pays) or unapplied (it waits for its payer).")
]
KeyId = Annotated[str, typer.Argument(help="key_ and 32 hexadecimal digits.", metavar="KEY")]


# Operators


@operator.command("create", epilog="Example: caudal operator create --name Olga > olga.key")
def operator_create(
    name: Annotated[str, typer.Option(help="Who it is, for the audit trail.")], as_json: AsJson = False
) -> None:
    """Make an operator. Its key is printed on standard output, now and never again."""

    async def work(context: Context) -> OperatorBody:
        trimmed = http.read_name(encode({"name": name})).name.strip()
        made = await create_operator(context, CLI, trimmed)
        return msgspec.structs.replace(_outcome(made.result, OperatorBody), secret=made.secret)

    operator = run_within(work)
    if as_json:
        return _print_json(operator)
    typer.echo(operator.secret)
    typer.echo(f"{operator.id} was created. The key above is not stored: keep it now.", err=True)
    return None


@operator.command("list", epilog="Example: caudal operator list --json")
def operator_list(as_json: AsJson = False) -> None:
    """Show every operator, oldest first, without keys."""

    async def work(context: Context) -> list[OperatorBody]:
        return [operator_body(record) for record, _ in await list_operators(context)]

    print_rows(run_within(work), ("id", "name", "hint", "created_at", "revoked_at"), as_json)


@operator.command("revoke", epilog="Example: caudal operator revoke operator_01a19b7ca68073d780000028e6b1509a")
def operator_revoke(
    operator: Annotated[str, typer.Argument(help="operator_ and 32 hexadecimal digits.")], as_json: AsJson = False
) -> None:
    """End an operator's key at once."""

    async def work(context: Context) -> OperatorBody:
        return _outcome(await revoke_operator(context, CLI, _id("operator", operator)), OperatorBody)

    print_one(run_within(work), as_json)


# Merchants


@merchant.command("create", epilog=_CREATE)
def merchant_create(
    name: Annotated[str, typer.Option(help="1 to 100 characters.")],
    country: Annotated[str, typer.Option(help="ISO 3166-1, like MX.")],
    fee: Annotated[list[str] | None, _FEE] = None,
    late_payments: LatePayments = "accept",
    key: Annotated[str | None, typer.Option(help="Make an API key too: test or live.")] = None,
    shard: Annotated[int | None, typer.Option(help="Where its books are; the shard with fewest merchants.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take a merchant in, with one set of books for test and one for live."""

    fields = {"name": name, "country": country, "late_payments": late_payments, "shard": shard}

    async def work(context: Context) -> tuple[MerchantBody, KeyBody | None]:
        asked = http.read_merchant(encode({**fields, "fee_plan": [_fee_line(line) for line in fee or ()]}))
        wanted = None if key is None else http.read_key(encode({"mode": key}))
        result = await http.make_merchant(context, CLI, asked)
        merchant = _outcome(result, MerchantBody)
        if wanted is None:
            return merchant, None
        return merchant, await _make_key(context, _id("mer", merchant.id), wanted)

    merchant, made = run_within(work)
    if as_json:
        return _print_json({"merchant": merchant, "key": made})
    print_one(merchant, as_json=False)
    if made is not None:
        typer.echo("")
        _print_secret(made)
    return None


@merchant.command("list", epilog="Example: caudal merchant list --json")
def merchant_list(as_json: AsJson = False) -> None:
    """Show merchants, newest first, at most a thousand."""

    async def work(context: Context) -> list[MerchantBody]:
        found = await list_merchants(context, Window(limit=_LIST_MAX))
        return [row.body() for row in found[:_LIST_MAX]]

    print_rows(run_within(work), ("id", "name", "country", "status", "late_payments", "created_at"), as_json)


@merchant.command("show", epilog=f"Example: caudal merchant show {_ID}")
def merchant_show(merchant: MerchantId, as_json: AsJson = False) -> None:
    """Show a merchant: settings, fee plan, keys."""

    async def work(context: Context) -> tuple[MerchantBody, list[KeyBody]]:
        id = _id("mer", merchant)
        found = await list_merchants(context, Window(limit=1), id)
        if not found:
            raise Refused("not_found", "there is no such merchant")
        return found[0].body(), await _keys(context, id)

    shown, keys = run_within(work)
    if as_json:
        return _print_json({"merchant": shown, "keys": keys})
    print_one(shown, as_json=False)
    typer.echo("")
    return print_rows(keys, ("id", "mode", "name", "hint", "ends_at", "revoked_at"), as_json=False)


@merchant.command("fees", epilog=f"Example: caudal merchant fees {_ID} --fee instant_transfer:MXN:0:150")
def merchant_fees(merchant: MerchantId, fee: Annotated[list[str], _FEE], as_json: AsJson = False) -> None:
    """Give a merchant another fee plan, all of its lines. Payins that exist keep the price that they were made at."""

    async def work(context: Context) -> MerchantBody:
        asked = http.read_fee_plan(encode({"fee_plan": [_fee_line(line) for line in fee]}))
        lines = tuple(line.line() for line in asked.fee_plan)
        return _outcome(await change_fees(context, CLI, _id("mer", merchant), lines), MerchantBody)

    print_one(run_within(work), as_json)


@merchant.command("settings", epilog=f"Example: caudal merchant settings {_ID} --late-payments unapplied")
def merchant_settings(
    merchant: MerchantId,
    late_payments: Annotated[
        str | None,
        typer.Option(help="Money after a payin's expiry: accept (it pays) or unapplied (it waits for its payer)."),
    ] = None,
    refunds_beyond_balance: Annotated[
        str | None, typer.Option(help="refunds that the balance does not cover: refuse, or allow (it goes negative)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what becomes of money that comes after a payin's expiry, or of refunds beyond the balance, from now on."""

    async def work(context: Context) -> MerchantBody:
        given = {"late_payments": late_payments, "refunds_beyond_balance": refunds_beyond_balance}
        if not any(given.values()):
            raise typer.BadParameter("name what to change: --late-payments or --refunds-beyond-balance")
        asked = http.read_settings(encode({name: value for name, value in given.items() if value is not None}))
        result = await change_settings(context, CLI, _id("mer", merchant), **asked.changes())
        return _outcome(result, MerchantBody)

    print_one(run_within(work), as_json)


# API keys


@key.command("create", epilog=f"Example: caudal merchant key create {_ID} --mode live --scope payins:read")
def key_create(
    merchant: MerchantId,
    mode: Mode = "test",
    name: Annotated[str, typer.Option(help="What the key is for, 1 to 100 characters.")] = "API key",
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(SCOPES)}; may be repeated; all of them unless given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed on standard output, now and never again."""

    async def work(context: Context) -> KeyBody:
        wanted = http.read_key(encode({"mode": mode, "name": name, "scopes": scope or SCOPES}))
        return await _make_key(context, _id("mer", merchant), wanted)

    made = run_within(work)
    _print_json(made) if as_json else _print_secret(made)


@key.command("rotate", epilog="Example: caudal merchant key rotate key_01a19b99082072a880000171c9035fde")
def key_rotate(
    key: KeyId,
    overlap_s: Annotated[int, typer.Option(help="How long the old key still counts: 0 to 604800 seconds.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Make a key like this one; this one ends when the overlap has passed."""

    async def work(context: Context) -> KeyBody:
        wanted = http.read_rotation(encode({"overlap_s": overlap_s}))
        made = await rotate_key(context, CLI, _id("key", key), wanted.overlap_s)
        return msgspec.structs.replace(_outcome(made.result, KeyBody), secret=made.secret)

    made = run_within(work)
    _print_json(made) if as_json else _print_secret(made)


@key.command("revoke", epilog="Example: caudal merchant key revoke key_01a19b99082072a880000171c9035fde")
def key_revoke(key: KeyId, as_json: AsJson = False) -> None:
    """End a key at once."""

    async def work(context: Context) -> KeyBody:
        return _outcome(await revoke_key(context, CLI, _id("key", key)), KeyBody)

    print_one(run_within(work), as_json)


@key.command("list", epilog=f"Example: caudal merchant key list {_ID}")
def key_list(merchant: MerchantId, as_json: AsJson = False) -> None:
    """Show a merchant's keys of both modes, newest first, ended ones too."""

    async def work(context: Context) -> list[KeyBody]:
        return await _keys(context, _id("mer", merchant))

    print_rows(run_within(work), ("id", "mode", "name", "hint", "created_at", "ends_at", "revoked_at"), as_json)


# The work


async def _make_key(context: Context, merchant: UUID, wanted: Any) -> KeyBody:
    made = await http.make_key(context, CLI, merchant, wanted)
    return msgspec.structs.replace(_outcome(made.result, KeyBody), secret=made.secret)


async def _keys(context: Context, merchant: UUID) -> list[KeyBody]:
    place = await place_of(context, merchant)
    if place is None:
        raise Refused("not_found", "there is no such merchant")
    found = await list_keys(context, place, Window(limit=_LIST_MAX))
    return [key_body(row, merchant) for row in found[:_LIST_MAX]]


def _outcome(result: Result, kind: type[T]) -> T:
    if isinstance(result.outcome, Refused):
        raise result.outcome
    assert isinstance(result.outcome, kind), "nothing is replayed without a key"
    return result.outcome


def _id(prefix: str, text: str) -> UUID:
    id = ids.parse(prefix, text)
    if id is None:
        raise Refused("not_found", f"{text!r} is no id: {prefix}_ and 32 hexadecimal digits")
    return id


def _fee_line(text: str) -> dict[str, object]:
    family, currency, fixed_minor, basis_points, *rest = [*text.split(":"), "", "", "", ""]
    if len(rest) != 4 or not fixed_minor.isdecimal() or not basis_points.isdecimal():
        raise Invalid("invalid_request", f"{text!r} is not FAMILY:CURRENCY:FIXED_MINOR:BASIS_POINTS")
    return {
        "family": family,
        "currency": currency,
        "fixed_minor": int(fixed_minor),
        "basis_points": int(basis_points),
    }


def run_within(work: Callable[[Context], Awaitable[T]]) -> T:
    """Does the work in a context of its own. Ends the program with status 2 and a sentence when it cannot be done."""

    async def within() -> T:
        async with running.entered("cli", readers=1) as context:
            return await work(context)

    try:
        return asyncio.run(within())
    except CaudalError as error:
        typer.echo(f"caudal: {error.detail}", err=True)
        for found in error.errors:
            typer.echo(f"  {found.field}: {found.detail}", err=True)
    except (SettingError, state.UpError, ClusterError, psycopg.Error) as error:
        typer.echo(f"caudal: {error}", err=True)
    raise typer.Exit(_WRONG)


# The printing


def _print_json(value: object) -> None:
    typer.echo(json.dumps(json.loads(encode(value)), indent=2, ensure_ascii=False))


def _print_secret(key: KeyBody) -> None:
    typer.echo(key.secret)
    typer.echo(f"{key.id} ({key.mode}) was created. The key above is not stored: keep it now.", err=True)


def print_one(value: msgspec.Struct, as_json: bool) -> None:
    if as_json:
        return _print_json(value)
    shown = json.loads(encode(value))
    width = max(map(len, shown))
    for name, field in shown.items():
        if name not in ("object", "secret"):
            typer.echo(f"{name.ljust(width)}  {_cell(field)}")
    return None


def print_rows(values: Sequence[msgspec.Struct], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        return _print_json(values)
    rows = [columns, *([_cell(getattr(value, name)) for name in columns] for value in values)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return None


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):  # a fee plan
        lines = (f"{x['family']}:{x['currency']}:{x['fixed_minor']}:{x['basis_points']}" for x in value["lines"])
        return f"version {value['version']}: " + (" ".join(lines) or "no lines")
    return " ".join(value) if isinstance(value, list) else str(value)
