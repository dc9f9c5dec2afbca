"""A route as an operation of OpenAPI."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from caudal.app import events, examples
from caudal.app.openapi import problems, variants
from caudal.app.openapi.schemas import TEMPLATE, described, reference_to
from caudal.kernel.http import Route

Schema = dict[str, Any]

_WEBHOOKS: Final = (
    "Webhooks",
    "Events sent to where a merchant wants them, signed as the Standard Webhooks specification has it.",
)
TAGS: Final[dict[str, tuple[str, str]]] = {
    "payins": ("Payins", "A payment that a merchant asks for, and that its payer makes."),
    "refunds": ("Refunds", "Money given back to payers, by the provider or to a bank account."),
    "disputes": ("Disputes", "Money that a payer wants back through the bank, and what the merchant answers."),
    "captures": ("Captures", "What was authorized on a card, taken."),
    "instruments": ("Instruments", "Cards in the vault: a number comes in once and never out again."),
    "events": ("Events", "What happened to a merchant's objects, in the order of the commits."),
    "webhook_endpoints": _WEBHOOKS,
    "webhook_deliveries": _WEBHOOKS,
    "routing": ("Routing", "Which provider a payin goes to, by a merchant's own rules, and why."),
    "balances": ("Balances", "A merchant's money, by currency and by what it is for, and every change of it."),
    "operator": (
        "Operators",
        "For whoever runs the platform: merchants, keys, deposits that pay nothing, discrepancies, the audit trail.",
    ),
    "sandbox": ("Sandbox", "Test mode only: moves time and plays the payer."),
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
    "providerSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Provider-Signature",
        "description": '`t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + method + "." + path + "." + body)>`, '
        "at most five minutes old. Each mode has a secret; the one that verifies says which of them it is about.",
    },
    "bankSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Spei-Signature",
        "description": '`t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + body)>`, at most five minutes old. '
        "Which of the two secrets verifies says which of them it is about.",
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
    "create_payin": "The method decides what else is needed, and what comes back. A card is `authorized`, `paid` or "
    "`declined` at once, or asks for 3-D Secure; every other payin is `pending`, and its `next_action` says what the "
    "payer does: transfer exactly the amount to a CLABE that is this payin's alone, scan a code, pay a slip, go to a "
    "page, confirm on the phone. Where the provider does not answer in time the payin is `submitting`, and is followed "
    "until it is known what became of it. Follow a payin by webhooks, by events, or by asking for it.",
    "create_payin_bulk": "Each is answered as if it had come alone, in the order of the request, and fails alone. What "
    "is wrong with the list itself refuses it whole, before anything is written. After an answer that did not come, or "
    "for what says `retry_after`, ask again with the same keys: what was done is answered as it was first. Single "
    "requests go before it.",
    "create_payin_capture": "In as many parts as you like, together at most what was authorized; `final` gives the "
    "rest back to the payer. Cards that were created with `capture: manual`.",
    "create_payin_refund": "In as many parts as you like, together at most what was received. Cards, Pix and M-Pesa go "
    "back the way the money came; SPEI, boleto and PSE need the payer's account, as `destination`.",
    "create_payin_pay": "Test mode only: what a person does at `payer_page`. The payin changes when the sandbox calls "
    "back, a moment later.",
    "create_payin_decline": "Test mode only. The payin changes when the sandbox calls back, a moment later.",
    "create_payin_expire": "Test mode only. The payin changes when the sandbox calls back, a moment later.",
    "create_payin_dispute": "Test mode only, once it is paid.",
    "list_discrepancies": "Each with what our books said, what the provider says, and what would put it right now.",
    "create_discrepancy_correction": "Once, by the ordinary verbs, and only while everything stands as the proposal "
    "names it in `facts`. `ask_again` has the worker ask the provider; the discrepancy closes by itself where nothing "
    "differs, and proposes something else where it does. Everything else closes it.",
    "list_unresolved": "Work that asks a provider and has not ended at its first try, with all that is known of it. "
    "What has come to an outcome is gone from the list.",
    "create_unresolved_settlement": "As the provider's answer would have settled it, by the same rules: the books, the "
    "events and the merchant's answer are those. Refused where it has an outcome, and, that it did not happen, as long "
    "as the provider may still come to know it. What the provider says otherwise later is a discrepancy.",
    "list_providers": "Since the process that answers began; another process has figures of its own.",
    "create_provider_forcing": "Every process counts it within a second, and it survives restarts. Forced `open`, "
    "calls come back as if the provider could not be reached, and payments go to others; forced `closed`, it is asked "
    "however it goes.",
    "create_provider_drain": "Captures, refunds, disputes, callbacks and questions about what it has go on as ever.",
    "list_payins": "Filters and searches narrow the list together. A search needs the whole word.",
    "create_payin_cancellation": "Money that arrives afterwards is not lost: it is kept as unapplied for its payer.",
    "create_instrument": "The number is sealed before anything is written; no answer, event, log or error has it. "
    "Payins name the instrument's id. The security code serves the first payin within an hour and is gone with it.",
    "create_instrument_deletion": "Number and holder are erased; payins that were made with it stay.",
    "list_events": "Begin without `after`, then go on with `next`; nothing is skipped and nothing comes twice.",
    "list_balances": "A payment's amount less its fee is `pending` from the moment it is booked, and `available` from "
    "the beginning of the day that `pending_by_day` names.",
    "list_balance_transactions": "The sum of all `net` is pending + available + reserved + disputed. With `Accept: "
    "text/csv` the answer has every line that the filters leave, whatever `limit` says, with amounts in minor units "
    "and as decimals.",
    "create_webhook_endpoint": "The secret is `secret` in this answer, and nowhere afterwards.",
    "create_webhook_endpoint_secret_rotation": "The new secret is `secret`, this once; a secret before the present one "
    "signs no more.",
    "create_webhook_endpoint_redelivery": "A job makes the deliveries; they are in the endpoint's list.",
    "create_dispute_evidence": "The file itself is the body, and its Content-Type says which of the three it is; its "
    "bytes are held against that. It is sealed, and sent to the provider by a job: `status` says what came of it. The "
    "first file that is taken puts the dispute `under_review`.",
    "create_callback_spei": "The tracking key counts once, for ever. A report with a known key and other content is "
    "refused; one for an unknown account is booked and kept as unapplied.",
    "create_deposit_return": "The return is under way when this answers; an event tells how it ended. Transfers, "
    "cards, Pix and M-Pesa go back the way they came; money of PSE or of a boleto needs the payer's account. Refused "
    "while a discrepancy is open that says an earlier return of it was carried out after all.",
    "create_deposit_confirmation": "For a return that has failed (`return_lost`, `return_refused`) and of which the "
    "provider's statement, or a person there, says that the payer has it. The books and the event are those of a "
    "return that succeeded. Refused where the money has gone another way meanwhile.",
    "create_clock_advance": "Test mode only, and forward only. Live keys are answered with 404.",
    "create_merchant_fee_plan": "Payins that exist keep the plan that they were created with.",
    "create_merchant_key": "The key's text is `secret` in this answer, and nowhere afterwards.",
    "create_key_rotation": "The old key counts for `overlap_s` more; the new one's text is `secret`, this once.",
    "create_key_revocation": "Requests that are under way with it are refused when they are decided.",
}
_SCHEMES: Final = {"merchant": "merchantKey", "operator": "operatorKey", "provider": "providerSignature"}
_BANK: Final = "/v1/callbacks/spei"
_PREFIXES: Final = {
    "payins": "payin",
    "refunds": "refund",
    "captures": "capture",
    "disputes": "dispute",
    "deposits": "dep",
    "discrepancies": "disc",
    "profiles": "rprof",
    "unresolved": "(payin|capture|void|refund|dep|evidence|disc)",
    "traces": "(payin|capture|void|refund|dep|dispute|disc|evt)",
    "merchants": "mer",
    "keys": "key",
    "instruments": "instr",
    "webhook_endpoints": "endpoint",
    "webhook_deliveries": "delivery",
    "events": "evt",
}
_EMPTY: Final = {"type": "object", "description": "Nothing, or an empty object.", "additionalProperties": False}


def tag_of(route: Route) -> str:
    """The product that an operation belongs to."""
    segments = route.path.replace("/balance_transactions", "/balances").split("/")
    return TAGS[segments[2] if len(segments) > 2 and segments[1] == "v1" else "health"][0]


def id_of(route: Route) -> str:
    """`create_payin`, `list_payins`, `get_payin`: made of method and path, so that no wording changes it."""
    words = [word for word in route.path.strip("/").split("/") if word not in ("v1", "operator", "sandbox")]
    nouns = [word for word in words if "{" not in word]
    rows = "data" in getattr(route.answer, "__struct_fields__", ()) and not route.path.endswith("}")
    if route.method == "GET" and rows:
        return "_".join(("list", *map(_one, nouns[:-1]), nouns[-1]))
    verb = "get" if route.method == "GET" else "change" if words[-1] == "{id}" else "create"
    return "_".join((verb, *map(_one, nouns)))


def _one(word: str) -> str:
    if word.endswith("ies"):
        return word.removesuffix("ies") + "y"
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
    scheme = "bankSignature" if route.path == _BANK else _SCHEMES.get(route.who)
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
    if "{provider}" in segments:
        return {
            "name": "provider",
            "in": "path",
            "required": True,
            "description": "The provider's name, as the configuration has it.",
            "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,31}$", "example": "sandbox"},
        }
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
    if route.takes:
        file = {
            "type": "string",
            "format": "binary",
            "description": f"the file, at most {route.body_limit_bytes} bytes",
        }
        return {"required": True, "content": {kind: {"schema": file} for kind in route.takes}}
    if route.body is None:
        return {"required": False, "content": {"application/json": {"schema": _EMPTY}}}
    own = {"example": examples.BODIES[name]} if (name := route.body.__name__) in examples.BODIES else {}
    content = _content(name, examples.SEVERAL_BODIES.get(id_of(route), own))
    if name == "ProviderCallback":  # what its method's provider may say
        named = variants.callback_named(route.path.rpartition("/")[2])
        content["schema"] = {"$ref": TEMPLATE.format(name=named)}
    return {"required": True, "content": {"application/json": content}}


def _answer(route: Route, words: str | None = None, value: object = None) -> Schema:
    headers: Schema = {"Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if route.keyed not in ("no", "each"):
        headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
    name = route.answer.__name__
    value = value or examples.OPERATIONS.get(id_of(route), examples.ANSWERS.get(name))
    own = {} if value is None else {"example": value}
    content = _content(name, examples.SEVERAL_ANSWERS.get(id_of(route), own))
    words = words or ("It was done." if route.answers == 201 else "It is so.")
    also = {kind: {"schema": {"type": "string"}} for kind in route.also}
    return {"description": words, "headers": headers, "content": {"application/json": content, **also}}


def _content(record: str, values: dict[str, Any]) -> Schema:
    shown = {"examples": {name: {"value": value} for name, value in values.items()}} if values else {}
    return {"schema": reference_to(record), **shown}
