"""What the page shows of an operation: fields as rows, a command to try, answers, problems. Pure, from the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from caudal.app.openapi.fields import EMAIL, FILLED, PHONE, PLAIN, URL

Schema = dict[str, Any]

_DEPTH_MAX: Final = 2
_SAID_IN_WORDS: Final = frozenset({PLAIN, FILLED, EMAIL, PHONE, URL})
_PLACEHOLDERS: Final = {"payins": "$PAYIN", "deposits": "$DEPOSIT", "merchants": "$MERCHANT", "keys": "$API_KEY_ID"}
_KEYS: Final = {"merchantKey": "$KEY", "operatorKey": "$OPERATOR_KEY"}
_QUERIES: Final = {
    "list_payins": "?status=paid&limit=10",
    "list_events": "?types=payin.paid,payin.expired",
    "list_deposits": "?merchant=house&mode=test",
    "list_audit": "?action=merchant.created",
}
_CALLERS: Final = {
    "merchantKey": "A merchant's key",
    "operatorKey": "An operator's key",
    "bankSignature": "The bank's signature",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A field or parameter. `path` is its name with those of the objects around it."""

    path: tuple[str, ...]
    kind: str
    required: bool
    text: str
    limits: tuple[str, ...]
    values: tuple[str, ...]


class ProblemRow(msgspec.Struct, frozen=True, kw_only=True):
    """A status with the codes that an operation answers with it."""

    status: str
    codes: tuple[tuple[str, str], ...]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as the page shows it."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    text: str
    caller: str | None
    scope: str | None
    keyed: bool
    parameters: tuple[tuple[str, tuple[Row, ...]], ...]
    body: tuple[Row, ...]
    answer: tuple[Row, ...]
    answer_name: str
    status: str
    curl: str
    example: str | None
    problems: tuple[ProblemRow, ...]


def operations(document: Schema, origin: str) -> list[Operation]:
    """Every operation, in the order of the document."""
    return [
        _operation(document, origin, method.upper(), path, found)
        for path, methods in document["paths"].items()
        for method, found in methods.items()
    ]


def _operation(document: Schema, origin: str, method: str, path: str, found: Schema) -> Operation:
    scheme, scopes = next(((name, of) for one in found["security"] for name, of in one.items()), (None, []))
    parameters = [_resolved(document, of) for of in found["parameters"]]
    status = next(code for code in found["responses"] if code < "300")
    answer = found["responses"][status]["content"]["application/json"]
    return Operation(
        id=found["operationId"],
        tag=found["tags"][0],
        method=method,
        path=path,
        summary=found["summary"],
        text=found["description"],
        caller=None if scheme is None else _CALLERS[scheme],
        scope=scopes[0] if scopes else None,
        keyed=any(of["name"] == "Idempotency-Key" for of in parameters),
        parameters=_parameters(parameters, document),
        body=tuple(rows(document, _body(found).get("schema", {}))),
        answer=tuple(rows(document, answer["schema"])),
        answer_name=_name(answer["schema"]),
        status=status,
        curl=curl(origin, method, path, found, scheme),
        example=_example(answer),
        problems=tuple(_problems(document, found["responses"])),
    )


def _parameters(found: list[Schema], document: Schema) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    groups = (("Path", "path"), ("Query", "query"), ("Headers", "header"))
    grouped = [
        (
            title,
            tuple(
                _row(document, (of["name"],), of["schema"], of["description"], of.get("required", False))
                for of in found
                if of["in"] == place
            ),
        )
        for title, place in groups
    ]
    return tuple((title, group) for title, group in grouped if group)


def _body(found: Schema) -> Schema:
    content: Schema = found.get("requestBody", {}).get("content", {}).get("application/json", {})
    return content


def _problems(document: Schema, responses: Schema) -> Iterator[ProblemRow]:
    for status, response in responses.items():
        named = response["content"].get("application/problem+json", {}).get("examples", {})
        known = document["components"]["examples"]
        if named:
            yield ProblemRow(status=status, codes=tuple((code, known[code]["summary"]) for code in named))


# Fields


def rows(document: Schema, schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Row]:
    """An object's fields, and those of the objects in it."""
    record = _resolved(document, schema)
    for name, of in record.get("properties", {}).items():
        here = (*path, name)
        yield _row(document, here, of, of.get("description", ""), name in record.get("required", ()))
        inner = _inner(document, of)
        if inner is not None and len(here) < _DEPTH_MAX:
            yield from rows(document, inner, here)


def _inner(document: Schema, of: Schema) -> Schema | None:
    """The object in a field, if the page shows it there; what has a place of its own is only named."""
    of = _not_null(of)
    of = of.get("items", of)
    if "$ref" not in of:
        return None
    record = _resolved(document, of)
    own_place = "object" in record.get("properties", {}) or "oneOf" in record
    return None if own_place or "properties" not in record else of


def _row(document: Schema, path: tuple[str, ...], of: Schema, text: str, required: bool) -> Row:
    plain = _not_null(of)
    resolved = _resolved(document, plain)
    values = resolved.get("items", resolved).get("enum", ())
    return Row(
        path=path,
        kind=_kind(document, of),
        required=required,
        text=text,
        limits=tuple(_limits({**resolved, **of})),
        values=tuple(str(value) for value in values),
    )


def _kind(document: Schema, of: Schema) -> str:
    plain = _not_null(of)
    nullable = " or null" if "anyOf" in of and plain is not of else ""
    if plain.get("type") == "array":
        return f"array of {_kind(document, plain['items'])}{nullable}"
    if isinstance(plain.get("additionalProperties"), dict):
        return f"map of {plain['additionalProperties'].get('type', 'anything')}{nullable}"
    if "$ref" in plain and "enum" not in _resolved(document, plain):
        return ("object" if _inner(document, of) else _name(plain)) + nullable
    resolved = _resolved(document, plain)
    kinds = {bool: "boolean", int: "integer", str: "string"}
    values = resolved.get("enum", ())
    kind = resolved.get("type") or (kinds[type(values[0])] if values else "anything")
    return {"date-time": "date-time"}.get(resolved.get("format", ""), str(kind)) + nullable


def _limits(of: Schema) -> Iterator[str]:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " rows"),
    ):
        if least in of and most in of:
            yield f"{of[least]:,} to {of[most]:,}{unit}"
        elif most in of:
            yield f"at most {of[most]:,}{unit}"
        elif of.get(least):
            yield f"at least {of[least]:,}{unit}"
    if "exclusiveMinimum" in of:
        yield f"more than {of['exclusiveMinimum']}"
    if "maxProperties" in of:
        yield f"at most {of['maxProperties']} keys"
    if of.get("pattern", PLAIN) not in _SAID_IN_WORDS:
        yield f"matches `{of['pattern']}`"
    if of.get("default") not in (None, {}, [], "") and len(of.get("enum", ())) != 1:
        yield f"default `{_short(of['default'])}`"


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _resolved(document: Schema, of: Schema) -> Schema:
    if "$ref" not in of:
        return of
    found: Schema = document
    for segment in of["$ref"].removeprefix("#/").split("/"):
        found = found[segment]
    return found


def _not_null(of: Schema) -> Schema:
    options = [option for option in of.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else of


def _name(of: Schema) -> str:
    return str(of.get("$ref", "")).rpartition("/")[2]


# Examples


def pretty(value: object) -> str:
    """JSON for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _example(content: Schema) -> str | None:
    return pretty(content["examples"]["example"]["value"]) if "examples" in content else None


def curl(origin: str, method: str, path: str, found: Schema, scheme: str | None) -> str:
    """A command that does it, once the shell's variables are set."""
    segments = path.split("/")
    url = "/".join(
        _PLACEHOLDERS[before] if of == "{id}" else of for before, of in zip(["", *segments], segments, strict=False)
    )
    url = f"{origin}{url}{_QUERIES.get(found['operationId'], '')}"
    lines = [f'curl "{url}"' if "?" in url else f"curl {url}"]
    body = _example(_body(found))
    if scheme == "bankSignature":
        return _signed(lines[0], body or "")
    if scheme is not None:
        lines.append(f'-H "Authorization: Bearer {_KEYS[scheme]}"')
    if any(of.get("$ref", "").endswith("/IdempotencyKey") for of in found["parameters"]):
        place = next((name for name in _PLACEHOLDERS.values() if name in url), "")
        lines.append(f'-H "Idempotency-Key: {found["operationId"].replace("_", "-")}-{place or "1"}"')
    if body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    elif method == "POST":
        lines[0] = lines[0].replace("curl", "curl -X POST", 1)
    return " \\\n  ".join(lines)


def _signed(command: str, body: str) -> str:
    return (
        f"BODY='{body}'\n"
        "TIME=$(date +%s)\n"
        'SIGNATURE=$(printf \'%s.%s\' "$TIME" "$BODY" |\n'
        '  openssl dgst -sha256 -hmac "$SPEI_SECRET" |\n'
        "  sed 's/.* //')\n\n"
        f'{command} \\\n  -H "Spei-Signature: t=$TIME,v1=$SIGNATURE" \\\n'
        '  -H "Content-Type: application/json" \\\n  -d "$BODY"'
    )
