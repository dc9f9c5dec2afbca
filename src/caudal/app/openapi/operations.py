"""A route as an operation of OpenAPI."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from caudal.app import events, examples
from caudal.app.openapi import problems
from caudal.app.openapi.schemas import TEMPLATE, described, reference_to
from caudal.kernel.http import Route

Schema = dict[str, Any]

TAGS: Final[dict[str, tuple[str, str]]] = {
    "payins": ("Payins", "A payment that a merchant asks for, and that its payer makes."),
    "events": ("Events", "What happened to a merchant's objects, in the order of the commits."),
    "balances": ("Balances", "A merchant's money, by currency and by what it is for."),
    "operator": (
        "Operators",
        "For whoever runs the platform: merchants, keys, deposits that pay nothing, the audit trail.",
    ),
    "sandbox": ("Sandbox", "Test mode only: moves time."),
    "callbacks": ("Callbacks", "For providers: what they report, signed."),
    "health": ("Health", "For load balancers and supervisors."),
}
SECURITY: Final[dict[str, Schema]] = {
    "merchantKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "sk_test_… or sk_live_…",
        "description": "A merchant's API key. It opens one of the merchant's two sets of books, test or live, and has "
        "scopes. A request may also be signed with it: `Caudal-Signature: t=<unix seconds>,v1=<hex "
        'HMAC-SHA256(key, t + "." + method + "." + path + "." + body)>`, at most five minutes old.',
    },
    "operatorKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "op_…",
        "description": "An operator's key, made by `caudal operator create`.",
    },
    "bankSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Spei-Signature",
        "description": '`t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + body)>`, at most five minutes old. '
        "Which of the two secrets verifies says whether the money is test or live.",
    },
}
HEADERS: Final[dict[str, Schema]] = {
    "RequestId": {"description": "The request's id: yours, or one of ours.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "When to ask again, seconds.", "schema": {"type": "integer", "minimum": 1}},
    "IdempotentReplayed": {
        "description": "`true` when this is the stored answer of the first request with the key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "WwwAuthenticate": {"description": "`Bearer` (RFC 6750).", "schema": {"type": "string"}},
}
PARAMETERS: Final[dict[str, Schema]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "Yours, 1 to 255 printable ASCII characters, bare or quoted. The same request with the same key "
        "gets the same answer, byte for byte, and happens once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]([ -~]*[!-~])?$"},
    },
    "RequestId": {
        "name": "Request-Id",
        "in": "header",
        "description": "Your name for the request, up to 120 of `A-Za-z0-9._:/+=-`; it comes back, and stands in our "
        "logs. Anything else is replaced by one of ours.",
        "schema": {"type": "string"},
    },
    "RequestTimeout": {
        "name": "Request-Timeout-Ms",
        "in": "header",
        "description": "How long you will wait, milliseconds. What cannot be done by then is refused before it begins.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 60_000, "default": 10_000},
    },
    "Version": {
        "name": "Caudal-Version",
        "in": "header",
        "description": "The version that you were written for. There is one so far.",
        "schema": {"type": "string", "enum": [events.VERSION]},
    },
}
# What a caller should know beyond the one line that the handler says of itself.
_NOTES: Final = {
    "create_payin": "The payin is `pending` at once. `next_action` has the CLABE to which its payer transfers exactly "
    "the amount; the account is this payin's alone while it is open. Follow it by events or by asking for it.",
    "list_payins": "Filters and searches narrow the list together. A search needs the whole word.",
    "create_payin_cancellation": "Money that arrives afterwards is not lost: it is kept as unapplied for its payer.",
    "list_events": "Begin without `after`, then go on with `next`; nothing is skipped and nothing comes twice.",
    "list_balances": "A payment's amount less its fee is `pending` from the moment it is booked.",
    "create_callback_spei": "The tracking key counts once, for ever. A report with a known key and other content is "
    "refused; one for an unknown account is booked and kept as unapplied.",
    "create_deposit_return": "The return is under way when this answers; an event tells how it ended.",
    "create_clock_advance": "Test mode only, and forward only. Live keys are answered with 404.",
    "create_merchant_fee_plan": "Payins that exist keep the plan that they were created with.",
    "create_merchant_key": "The key's text is `secret` in this answer, and nowhere afterwards.",
    "create_key_rotation": "The old key counts for `overlap_s` more; the new one's text is `secret`, this once.",
    "create_key_revocation": "Requests that are under way with it are refused when they are decided.",
}
_SCHEMES: Final = {"merchant": "merchantKey", "operator": "operatorKey", "provider": "bankSignature"}
_PREFIXES: Final = {"payins": "payin", "deposits": "dep", "merchants": "mer", "keys": "key"}
_EMPTY: Final = {"type": "object", "description": "Nothing, or an empty object.", "additionalProperties": False}


def tag_of(route: Route) -> str:
    """The product that an operation belongs to."""
    segments = route.path.split("/")
    return TAGS[segments[2] if len(segments) > 2 and segments[1] == "v1" else "health"][0]


def id_of(route: Route) -> str:
    """`create_payin`, `list_payins`, `get_payin`: made of method and path, so that no wording changes it."""
    words = [word for word in route.path.strip("/").split("/") if word not in ("v1", "operator", "sandbox")]
    nouns = [word for word in words if "{" not in word]
    rows = "data" in getattr(route.answer, "__struct_fields__", ())
    if route.method == "GET" and rows:
        return "_".join(("list", *map(_one, nouns[:-1]), nouns[-1]))
    return "_".join(("get" if route.method == "GET" else "create", *map(_one, nouns)))


def _one(word: str) -> str:
    return word if word.endswith("z") else word.removesuffix("s")


def operation(route: Route) -> Schema:
    """One operation with its parameters, body and answers."""
    found: Schema = {
        "operationId": id_of(route),
        "tags": [tag_of(route)],
        "summary": route.summary,
        "description": " ".join(filter(None, (inspect.getdoc(route.handler), _NOTES.get(id_of(route))))),
        "parameters": _parameters(route),
        "responses": {str(route.answers): _answer(route), **problems.responses(problems.codes_of(route))},
    }
    if route.method == "POST":
        found["requestBody"] = _body(route)
    if route.path == "/readyz":
        found["responses"]["503"] = _answer(route, "It cannot; `reasons` says why.", examples.UNAVAILABLE)
    scheme = _SCHEMES.get(route.who)
    found["security"] = [] if scheme is None else [{scheme: [] if route.scope is None else [route.scope]}]
    return found


def _parameters(route: Route) -> list[Schema]:
    found = [_path_parameter(route)] if "{" in route.path else []
    if route.query is not None:
        found += _query_parameters(route.query)
    names = ["RequestTimeout", "RequestId", "Version"]
    if route.keyed == "required":
        names.insert(0, "IdempotencyKey")
    elif route.keyed == "optional":
        found.append({**PARAMETERS["IdempotencyKey"], "required": False})
    return [*found, *({"$ref": f"#/components/parameters/{name}"} for name in names if route.who != "anybody")]


def _path_parameter(route: Route) -> Schema:
    segments = route.path.split("/")
    place = segments.index("{id}")
    prefix = _PREFIXES[segments[place - 1]]
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": f"The id of the {_one(segments[place - 1])}.",
        "schema": {"type": "string", "pattern": f"^{prefix}_[0-9a-f]{{32}}$"},
    }


def _query_parameters(record: type) -> list[Schema]:
    _, found = msgspec.json.schema_components((record,), ref_template=TEMPLATE)
    return [
        _query_parameter(name, of)
        for name, of in described(record.__name__, found[record.__name__])["properties"].items()
    ]


def _query_parameter(name: str, of: Schema) -> Schema:
    """A parameter that may be left out, instead of a field that may be null."""
    options = [option for option in of.get("anyOf", ()) if option != {"type": "null"}]
    schema = options[0] if options else {key: value for key, value in of.items() if key != "description"}
    if "$ref" in schema:
        schema = reference_to(schema["$ref"].rpartition("/")[2])
    return {"name": name, "in": "query", "description": of.get("description", ""), "schema": schema}


def _body(route: Route) -> Schema:
    if route.body is None:
        return {"required": False, "content": {"application/json": {"schema": _EMPTY}}}
    content: Schema = {"schema": reference_to(route.body.__name__)}
    if route.body.__name__ in examples.BODIES:
        content["examples"] = {"example": {"value": examples.BODIES[route.body.__name__]}}
    return {"required": True, "content": {"application/json": content}}


def _answer(route: Route, words: str | None = None, value: object = None) -> Schema:
    headers: Schema = {"Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if route.keyed != "no":
        headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
    name = route.answer.__name__
    value = value or examples.OPERATIONS.get(id_of(route), examples.ANSWERS.get(name))
    content: Schema = {"schema": reference_to(name)}
    if value is not None:
        content["examples"] = {"example": {"value": value}}
    words = words or ("It was done." if route.answers == 201 else "It is so.")
    return {"description": words, "headers": headers, "content": {"application/json": content}}
