"""What the page shows of an operation: fields as rows, a command to try, answers, problems. Pure, from the document."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from caudal.app.reference.rows import Row, Variant, named, resolved, row, rows, variants

Schema = dict[str, Any]

_PLACEHOLDERS: Final = {
    "payins": "$PAYIN",
    "deposits": "$DEPOSIT",
    "merchants": "$MERCHANT",
    "keys": "$API_KEY_ID",
    "refunds": "$REFUND",
    "captures": "$CAPTURE",
    "disputes": "$DISPUTE",
    "discrepancies": "$DISCREPANCY",
    "unresolved": "$UNRESOLVED",
    "traces": "$PAYIN",
    "instruments": "$INSTRUMENT",
    "profiles": "$PROFILE",
    "webhook_endpoints": "$ENDPOINT",
    "webhook_deliveries": "$DELIVERY",
    "events": "$EVENT",
}
_KEYS: Final = {"merchantKey": "$KEY", "operatorKey": "$OPERATOR_KEY"}
_QUERIES: Final = {
    "list_payins": "?status=paid&limit=10",
    "list_events": "?types=payin.paid,payin.expired",
    "list_deposits": "?merchant=house&mode=test",
    "create_dispute_evidence": "?kind=receipt",
    "list_audit": "?action=merchant.created",
}
# Objects in the state that an operation needs, where any other of their kind would be refused.
_OBJECTS: Final = {
    "create_deposit_confirmation": "$FAILED_RETURN",
    "create_discrepancy_correction": "$CORRECTABLE_DISCREPANCY",
    "create_payin_capture": "$AUTHORIZED_PAYIN",
    "create_payin_refund": "$PAID_PAYIN",
    "create_payin_cancellation": "$PENDING_PAYIN",
    "create_payin_pay": "$PENDING_PAYIN",
    "create_payin_decline": "$PENDING_PAYIN",
    "create_payin_expire": "$PENDING_PAYIN",
    "create_payin_dispute": "$PAID_PAYIN",
}
_SIGNATURES: Final = {
    "bankSignature": ("$SPEI_SECRET", "Spei-Signature"),
    "providerSignature": ("$PROVIDER_SECRET", "Provider-Signature"),
}
_CALLERS: Final = {
    "merchantKey": "A merchant's key",
    "operatorKey": "An operator's key",
    "bankSignature": "The bank's signature",
    "providerSignature": "The provider's signature",
}


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
    bodies: tuple[Variant, ...]
    shown: dict[str, str]
    others: tuple[tuple[str, str], ...]
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
    parameters = [resolved(document, of) for of in found["parameters"]]
    status = next(code for code in found["responses"] if code < "300")
    answer, body = found["responses"][status]["content"]["application/json"], _body(found)
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
        body=tuple(rows(document, body.get("schema", {}))),
        bodies=variants(document, body.get("schema", {}), differing=True),
        shown=dict(_examples(body)),
        others=_examples(answer)[1:],
        answer=tuple(rows(document, answer["schema"])),
        answer_name=named(answer["schema"]),
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
                row(document, (of["name"],), of["schema"], of["description"], of.get("required", False))
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


# Examples


def pretty(value: object) -> str:
    """JSON for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _examples(content: Schema) -> tuple[tuple[str, str], ...]:
    """Every example, by its name."""
    return tuple((name, pretty(one["value"])) for name, one in content.get("examples", {}).items())


def _example(content: Schema) -> str | None:
    """The first of them."""
    return next((text for _, text in _examples(content)), None)


def curl(origin: str, method: str, path: str, found: Schema, scheme: str | None) -> str:
    """A command that does it, once the shell's variables are set."""
    path = path.replace("{provider}", "sandbox" if "callbacks" in path else "sur")  # two that `caudal up` has
    segments, own = path.split("/"), _OBJECTS.get(found["operationId"])
    url = "/".join(
        (own or _PLACEHOLDERS[before]) if of == "{id}" else of
        for before, of in zip(["", *segments], segments, strict=False)
    )
    url = f"{origin}{url}{_QUERIES.get(found['operationId'], '')}"
    lines = [f'curl "{url}"' if "?" in url else f"curl {url}"]
    body = _example(_body(found))
    if scheme in _SIGNATURES:
        return _signed(lines[0], scheme, f"{method}.{path}", body or "")
    if scheme is not None:
        lines.append(f'-H "Authorization: Bearer {_KEYS[scheme]}"')
    if any(of.get("$ref", "").endswith("/IdempotencyKey") for of in found["parameters"]):
        place = own or next((name for name in _PLACEHOLDERS.values() if name in url), "")
        lines.append(f'-H "Idempotency-Key: {found["operationId"].replace("_", "-")}-{place or "1"}"')
    files = [kind for kind in found.get("requestBody", {}).get("content", {}) if kind != "application/json"]
    if files:
        lines += [f'-H "Content-Type: {files[0]}"', "--data-binary @receipt.pdf"]
    elif body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d {shlex.quote(body)}"]
    elif method == "POST":
        lines[0] = lines[0].replace("curl", "curl -X POST", 1)
    return " \\\n  ".join(lines)


def _signed(command: str, scheme: str, place: str, body: str) -> str:
    secret, header = _SIGNATURES[scheme]
    signed = "%s.%s" if scheme == "bankSignature" else f"%s.{place}.%s"
    return (
        f"BODY={shlex.quote(body)}\n"
        "TIME=$(date +%s)\n"
        f'SIGNATURE=$(printf \'{signed}\' "$TIME" "$BODY" |\n'
        f'  openssl dgst -sha256 -hmac "{secret}" |\n'
        "  sed 's/.* //')\n\n"
        f'{command} \\\n  -H "{header}: t=$TIME,v1=$SIGNATURE" \\\n'
        '  -H "Content-Type: application/json" \\\n  -d "$BODY"'
    )
