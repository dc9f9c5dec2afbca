"""The reference for people, at `/docs`, `/docs/errors` and `/docs/banks`: one page each, complete in itself."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from caudal.app import events, openapi
from caudal.app.openapi.operations import TAGS
from caudal.app.reference import view
from caudal.app.reference.banks import SYSTEMS
from caudal.contracts.problems import PROBLEMS
from caudal.kernel.http import Request
from caudal.merchants import SCOPES

ORIGIN: Final = "http://127.0.0.1:8700"
_HERE: Final = Path(__file__).parent
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_CODE: Final = re.compile(r"`([^`]+)`")
_PAGE: Final = re.compile(r"<code>(/docs/[a-z]+(?:#[a-z]+)?)</code>")
_JSON: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)
_RETRY: Final = {
    "no": "Do not send it again as it is: it will be refused again.",
    "after": "Nothing happened. Send it again, with the same key, after `Retry-After` seconds.",
    "same_key": "The outcome is not known. Send it again with the same key and find out; it happens once.",
}


class ErrorKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of problem as its page shows it."""

    code: str
    status: int
    title: str
    meaning: str
    advice: str
    example: str
    operations: tuple[view.Operation, ...]


def origin_of(request: Request) -> str:
    """Where the reader reaches us, as far as the request says; examples are written for it."""
    host = request.header(b"host") or ""
    if not _HOST.fullmatch(host):
        return ORIGIN
    scheme = "https" if request.header(b"x-forwarded-proto") == "https" else "http"
    return f"{scheme}://{host}"


def page(origin: str = ORIGIN) -> bytes:
    """The reference, with examples for the caudal at `origin`."""
    return _page().replace(_MARK.encode(), escape(origin).encode())


def errors_page() -> bytes:
    """Every problem: where the `type` of one leads."""
    return _errors_page()


def banks_page() -> bytes:
    """Every bank by its code."""
    return _banks_page()


_MARK: Final = "http://origin.invalid"


@cache
def _page() -> bytes:
    operations = view.operations(openapi.parsed(), _MARK)
    products = dict.fromkeys(TAGS.values())
    tags = [(name, text, [of for of in operations if of.tag == name]) for name, text in products]
    return _render("page.html", tags=tags, errors=_error_kinds(), events=list(events.TYPES.values()), scopes=SCOPES)


@cache
def _errors_page() -> bytes:
    return _render("errors.html", errors=_error_kinds())


@cache
def _banks_page() -> bytes:
    return _render("banks.html", systems=SYSTEMS)


def _error_kinds() -> list[ErrorKind]:
    operations = view.operations(openapi.parsed(), _MARK)
    return [
        ErrorKind(
            code=kind.code,
            status=kind.status,
            title=kind.title,
            meaning=kind.meaning,
            advice=_RETRY[_example(kind.code)["retry"]],
            example=view.pretty(_example(kind.code)),
            operations=tuple(
                of for of in operations if any(kind.code == code for row in of.problems for code, _ in row.codes)
            ),
        )
        for kind in PROBLEMS.values()
    ]


def _example(code: str) -> dict[str, Any]:
    value: dict[str, Any] = openapi.parsed()["components"]["examples"][code]["value"]
    return value


def _render(name: str, **values: Any) -> bytes:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"prose": _prose, "json": _highlighted, "pretty": view.pretty, "slug": _slug}
    style, behaviour = ((_HERE / file).read_text("utf-8") for file in ("style.css", "behaviour.js"))
    shown = environment.get_template(name).render(
        style=Markup(style), behaviour=Markup(behaviour), version=events.VERSION, **values
    )
    return shown.encode()


def _prose(text: str) -> Markup:
    """Text with `code` in it; a page of the reference is a link."""
    return Markup(_PAGE.sub(r'<a href="\1">\g<0></a>', _CODE.sub(r"<code>\1</code>", str(escape(text)))))


def _highlighted(text: str) -> Markup:
    """JSON with its parts marked."""
    parts, end = [], 0
    for found in _JSON.finditer(text):
        parts += [escape(text[end : found.start()]), Markup('<b class="{}">{}</b>').format(found.lastgroup, found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _slug(text: str) -> str:
    return text.lower().replace("_", "-").replace(".", "-")
