"""Records as JSON Schemas: what msgspec knows of them, with the limits and meanings of `fields.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from caudal.app import events
from caudal.app.openapi import variants
from caudal.app.openapi.fields import LIMITS, SAME_LANGUAGE, SHAPES
from caudal.app.openapi.meanings import meaning

Schema = dict[str, Any]

TEMPLATE: Final = "#/components/schemas/{name}"
# What a record is called in the document, where that is not its own name without `Body` or `Asked`.
_NAMES: Final = {
    "PayerAsked": "CreatePayinPayer",
    "CardAsked": "CreateCard",
    "InstrumentAsked": "CreatePayinInstrument",
    "CaptureAsked": "CreateCapture",
    "RefundAsked": "CreateRefund",
    "DestinationAsked": "RefundDestination",
    "ReturnAsked": "CreateDepositReturn",
    "ConfirmAsked": "ConfirmDepositReturn",
    "ResolveAsked": "ResolveDiscrepancy",
    "CorrectAsked": "CorrectDiscrepancy",
    "SettleAsked": "SettleOutcome",
    "Unresolved": "UnresolvedOutcome",
    "UnresolvedDetail": "UnresolvedOutcomeDetail",
    "UnresolvedList": "UnresolvedOutcomeList",
    "Settlement": "OutcomeSettlement",
    "Inquiry": "ProviderInquiry",
    "Proposal": "DiscrepancyProposal",
    "Posting": "ProposedPosting",
    "EvidenceBody": "DisputeEvidence",
    "EvidenceList": "DisputeEvidenceList",
    "Status": "PayinStatus",
    "AdvanceBody": "AdvanceClock",
    "FeeLineAsked": "CreateFeeLine",
    "FeePlanAsked": "ChangeFeePlan",
    "SettingsAsked": "ChangeSettings",
    "KeyBody": "ApiKey",
    "AuditBody": "AuditEntry",
    "Envelope": "Event",
    "EndpointBody": "WebhookEndpoint",
    "EndpointList": "WebhookEndpointList",
    "ProfileAsked": "CreateRoutingProfile",
    "RuleAsked": "CreateRoutingRule",
    "WhenAsked": "CreateRoutingCondition",
    "ChooseAsked": "CreateRoutingChoice",
    "ProfileBody": "RoutingProfile",
    "ProfileList": "RoutingProfileList",
    "Rule": "RoutingRule",
    "When": "RoutingCondition",
    "Choose": "RoutingChoice",
    "SimulateAsked": "SimulateRouting",
    "ReplayAsked": "SimulateRoutingReplay",
    "SimulationBody": "RoutingSimulation",
    "ReplayBody": "RoutingReplay",
    "ReplayedCost": "RoutingReplayCost",
    "ReplayedProvider": "RoutingReplayProvider",
    "Candidate": "RoutingCandidate",
    "Considered": "RoutingConsidered",
    "AttemptOfPayin": "PayinAttempt",
    "AttemptsOfPayin": "PayinAttemptList",
    "CreateEndpointBody": "CreateWebhookEndpoint",
    "ChangeEndpointBody": "ChangeWebhookEndpoint",
    "RotateSecretBody": "RotateWebhookSecret",
    "RedeliverRangeBody": "RedeliverEvents",
    "RangeBody": "WebhookRedelivery",
    "DeliveryBody": "WebhookDelivery",
    "DeliveryList": "WebhookDeliveryList",
    "DeliveryDetail": "WebhookDeliveryDetail",
    "AttemptBody": "WebhookAttempt",
    "RequestBody": "WebhookRequest",
    "AnswerBody": "WebhookAnswer",
}
# Records that leave out what is empty; all others show every field.
_SPARSE: Final = frozenset({"Payer", "ProblemBody"})
_DATA: Final = {
    "payin": "PayinBody",
    "capture": "CaptureBody",
    "refund": "RefundBody",
    "dispute": "DisputeBody",
    "deposit": "DepositBody",
    "instrument": "InstrumentBody",
    "webhook_endpoint": "WebhookEndpointData",
}


def name_of(record: str) -> str:
    """A record's name in the document."""
    return _NAMES.get(record) or record.removesuffix("Body").removesuffix("Asked")


def reference_to(record: str) -> Schema:
    """A reference to a record's schema."""
    return {"$ref": TEMPLATE.format(name=name_of(record))}


def components(asked: Iterable[type], answered: Iterable[type]) -> dict[str, Schema]:
    """The schemas of what is sent and of what is answered, and of every record in them, by their public names."""
    _, sent = msgspec.json.schema_components(tuple(asked), ref_template=TEMPLATE)
    _, shown = msgspec.json.schema_components(tuple(answered), ref_template=TEMPLATE)
    assert not set(sent) & set(shown), "what is sent grows otherwise than what is answered: use two records"
    found = {name: _closed(described(name, schema)) for name, schema in sent.items()}
    found |= {name: _complete(name, described(name, schema)) for name, schema in shown.items()}
    named = {name_of(name): _renamed(schema) for name, schema in found.items()}
    assert len(named) == len(found), "two records have one name"
    payer, _ = named.pop("CreatePayinPayer"), named.pop("CreatePayinInstrument")
    callback, payment = named.pop("ProviderCallback"), named.pop("ProviderPayment")
    named |= variants.payins(named["CreatePayin"], payer) | variants.callbacks(callback, payment)
    return dict(sorted({**named, **_event_schemas()}.items()))


def described(record: str, schema: Schema) -> Schema:
    """The schema with limits and meanings of its fields."""
    if "properties" not in schema:
        return {**schema, "title": name_of(record)}
    schema = {**schema, "description": schema.get("description", "").split("\n\n")[0]}
    properties = {field: _field(record, field, of) for field, of in schema["properties"].items()}
    return {**schema, **SHAPES.get(record, {}), "title": name_of(record), "properties": properties}


def _field(record: str, field: str, of: Schema) -> Schema:
    if record in SAME_LANGUAGE:
        of = _as_published(SAME_LANGUAGE[record], field, of)
    limits = LIMITS.get(record, {}).get(field, {})
    if "anyOf" in of:
        of = {**of, "anyOf": [o if o == {"type": "null"} else {**o, **limits} for o in of["anyOf"]]}
    else:
        of = {**of, **limits}
    text = meaning(record, field, of.pop("description", None))
    return {"description": text, **of} if text else of


def _as_published(record: type, field: str, of: Schema) -> Schema:
    """The field as the published record has it; what refers to another record keeps its reference."""
    _, found = msgspec.json.schema_components((record,), ref_template=TEMPLATE)
    published: Schema = found[record.__name__]["properties"].get(field, of)
    if "$ref" in str(of):
        return {**of, **{key: value for key, value in published.items() if key == "description"}}
    return published


def _closed(schema: Schema) -> Schema:
    """A body's schema: no parser takes a field that it does not know."""
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def _complete(record: str, schema: Schema) -> Schema:
    """An answer's schema: nothing is left out of it, so nothing has a default."""
    if "properties" not in schema or record in _SPARSE:
        return schema
    for of in schema["properties"].values():
        of.pop("default", None)
    return {**schema, "required": list(schema["properties"])}


def _renamed(of: Any) -> Any:
    """The schema with references to public names; where a tag tells records apart, it is one of them."""
    if isinstance(of, dict):
        found = {key: _reference(value) if key == "$ref" else _renamed(value) for key, value in of.items()}
        if "discriminator" not in of:
            return found
        mapping = {value: _reference(target) for value, target in of["discriminator"]["mapping"].items()}
        return {"oneOf": found["anyOf"], "discriminator": {**of["discriminator"], "mapping": mapping}}
    return [_renamed(item) for item in of] if isinstance(of, list) else of


def _reference(target: str) -> str:
    before, _, record = target.rpartition("/")
    return f"{before}/{name_of(record)}"


def _event_schemas() -> dict[str, Schema]:
    """An event is one of the types that merchants read; its data is the object that the API shows."""
    kinds = [kind for kind in events.TYPES.values() if kind.reader == "merchant"]
    names = {kind.name: kind.schema_name for kind in kinds}
    mapping = {kind.name: TEMPLATE.format(name=names[kind.name]) for kind in kinds}
    one = {
        "title": "Event",
        "description": "CloudEvents 1.0 with the `sequence` extension; webhooks carry the same.",
        "oneOf": [{"$ref": target} for target in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    data, own = dict[str, str](), dict[str, Schema]()
    for kind in kinds:
        record = _DATA.get(kind.name.partition(".")[0])
        if record is None:  # not an object that the API shows: the event's own record
            record = kind.data.__name__
            own |= {name: _complete(name, described(name, of)) for name, of in events.records(kind, TEMPLATE).items()}
        data[kind.name] = reference_to(record)["$ref"]
    return {"Event": one, **own, **{names[kind.name]: events.envelope_schema(kind, data[kind.name]) for kind in kinds}}
