"""The published language: what the code emits is what the contracts say, and what is published only grows."""

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest

from caudal.app import events, examples
from caudal.connectors import AwaitPush, Redirect, ShowQr, ShowVoucher
from caudal.contracts import instruments, ledger, merchants, payins, webhooks
from caudal.contracts.envelope import envelope_of
from caudal.kernel.http import encode
from caudal.merchants import FeePlan, FeeRow, fee_minor
from caudal.payins import Status, decide
from caudal.payins.decide.changing import begun
from caudal.payins.model import (
    Chosen,
    Deposit,
    Detail,
    Discrepancy,
    Operation,
    OperationDetail,
    Payin,
    body_of,
    capture_body,
    deposit_body,
    discrepancy_body,
    refund_body,
)
from caudal.payins.states import FIRST_WITH_PROVIDER, TABLE
from caudal.vault import decide as vault_decide
from caudal.vault.model import InstrumentRecord
from caudal.vault.model import body_of as instrument_body

AT = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
ID, OTHER = UUID("01a207d9210075c38000019a41e07f2b"), UUID("fed890b0b5068d6bb38e5ed26348ad89")
DETAIL = Detail(description="pan", metadata={"order": "1001"}, clabe="646180018592801986")
PAYIN = Payin(
    id=ID,
    book=2,
    version=1,
    status=Status.PENDING,
    reason=None,
    method="spei",
    country="MX",
    currency="MXN",
    amount_minor=12_050,
    received_minor=0,
    fee_minor=0,
    fee_plan=1,
    deposit_number=7,
    reference=None,
    detail=None,
    created_at=AT,
    expires_at=AT + timedelta(days=3),
    paid_at=None,
)
THROUGH = Detail(
    capture="manual",
    three_ds=True,
    return_url="https://shop.example/",
    chosen=Chosen(instrument=OTHER, brand="visa", last_four="1111", bank="1007"),
    reference="pp_1",
    payer_page="http://127.0.0.1/pay/1",
)
ACTIONS = (
    Redirect(url="http://127.0.0.1/3ds"),
    ShowQr(payload="0002"),
    ShowVoucher(line="1" * 47, barcode="1" * 44, due_on="2026-12-01", url=None),
    AwaitPush(phone="…678"),
)
PAYINS = {
    "created": PAYIN,
    "created with everything": msgspec.structs.replace(PAYIN, reference="order-1001", detail=encode(DETAIL)),
    "received": msgspec.structs.replace(PAYIN, received_minor=5_000, detail=encode(DETAIL)),
    "paid late": msgspec.structs.replace(
        PAYIN, status=Status.PAID, reason="late", received_minor=12_050, fee_minor=421, paid_at=AT, book=3
    ),
    **{f"as {status}": msgspec.structs.replace(PAYIN, status=status, detail=encode(DETAIL)) for status in Status},
    **{
        f"that {action.__class__.__name__}": msgspec.structs.replace(
            PAYIN, method="card", deposit_number=None, detail=encode(msgspec.structs.replace(THROUGH, action=action))
        )
        for action in ACTIONS
    },
    "captured and disputed": msgspec.structs.replace(
        PAYIN,
        status=Status.PAID,
        paid_at=AT,
        received_minor=12_050,
        authorized_minor=12_050,
        captured_minor=12_050,
        refunded_minor=50,
        disputed_minor=1,
        available_on=AT.date(),
        detail=encode(THROUGH),
    ),
}
CAPTURE = begun(PAYIN, OTHER, "capture", 2_000, AT)
OPERATIONS = {
    "pending": CAPTURE,
    "failed": msgspec.structs.replace(CAPTURE, status="failed", reason="processing_error", settled_at=AT, book=3),
    "with everything": msgspec.structs.replace(
        CAPTURE,
        status="succeeded",
        settled_at=AT,
        fee_minor=50,
        from_available_minor=2_050,
        detail=encode(OperationDetail(final=True, note="n", metadata={"a": "b"}, parts=((AT.date(), 50),))),
    ),
}
DISCREPANCY = Discrepancy(
    id=OTHER,
    book=2,
    version=1,
    provider="sandbox",
    kind="late_success",
    payin=ID,
    detail=b'{"key":"1"}',
    created_at=AT,
    resolved_at=None,
    resolution=None,
)
DISCREPANCIES = {
    "open": DISCREPANCY,
    "of nobody": msgspec.structs.replace(DISCREPANCY, payin=None, book=1, kind="unknown_payment"),
    "resolved": msgspec.structs.replace(DISCREPANCY, resolved_at=AT, resolution="looked after"),
    "asked about": msgspec.structs.replace(DISCREPANCY, held=b"{}", answer=b"{}", correction="ask_again"),
}
DEPOSIT = Deposit(
    id=OTHER,
    book=2,
    version=1,
    provider="spei",
    tracking_key="MBAN01002611230002",
    account="646180018592801986",
    currency="MXN",
    amount_minor=2_000,
    applied_minor=0,
    unapplied_minor=2_000,
    returning_minor=0,
    returned_minor=0,
    payin=None,
    reason="unknown_account",
    sealed=b"",
    created_at=AT,
)
DEPOSITS = {
    "unapplied": DEPOSIT,
    "surplus of a payin": msgspec.structs.replace(DEPOSIT, payin=ID, reason="surplus", applied_minor=500, book=1),
    "returned": msgspec.structs.replace(DEPOSIT, unapplied_minor=0, returned_minor=2_000, reason=None),
}


@pytest.mark.parametrize("payin", PAYINS.values(), ids=list(PAYINS))
@pytest.mark.parametrize("page", [None, "http://127.0.0.1:8701"], ids=["event", "with the sandbox's page"])
def test_a_payin_is_emitted_in_the_published_language(payin: Payin, page: str | None) -> None:
    emitted = encode(body_of(payin, page))
    kinds = [kind for name, kind in payins.EVENTS.items() if name.startswith("payin.")]
    for kind in (payins.PayinData, *kinds):
        assert encode(msgspec.json.decode(emitted, type=kind)) == emitted


@pytest.mark.parametrize("deposit", DEPOSITS.values(), ids=list(DEPOSITS))
def test_a_deposit_is_emitted_in_the_published_language(deposit: Deposit) -> None:
    emitted = encode(deposit_body(deposit))
    for kind in (payins.DepositData, payins.DepositUnapplied, payins.DepositReturned):
        assert encode(msgspec.json.decode(emitted, type=kind)) == emitted


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_captures_and_refunds_are_emitted_in_the_published_language(operation: Operation) -> None:
    for prefix, body in (("capture.", capture_body), ("refund.", refund_body)):
        emitted = encode(body(operation))
        kinds = [kind for name, kind in payins.EVENTS.items() if name.startswith(prefix)]
        assert kinds
        for kind in kinds:
            assert encode(msgspec.json.decode(emitted, type=kind)) == emitted


@pytest.mark.parametrize("found", DISCREPANCIES.values(), ids=list(DISCREPANCIES))
def test_a_discrepancy_is_emitted_in_the_published_language(found: Discrepancy) -> None:
    emitted = encode(discrepancy_body(found))
    for kind in (payins.DiscrepancyOpened, payins.DiscrepancyResolved):
        assert encode(msgspec.json.decode(emitted, type=kind)) == emitted


INSTRUMENT = InstrumentRecord(
    id=ID,
    book=2,
    version=1,
    type="card",
    brand="visa",
    bin="41111111",
    last4="1111",
    expiry_month=12,
    expiry_year=2030,
    country="BR",
    holder=bytes(16),
    key_id="0123456789abcdef",
    wrapped=b"",
    sealed=b"",
    code=None,
    code_until=None,
    created_at=AT,
    deleted_at=None,
)


@pytest.mark.parametrize(
    "record",
    [INSTRUMENT, msgspec.structs.replace(INSTRUMENT, book=3, country=None, holder=None, deleted_at=AT)],
    ids=["kept", "erased"],
)
def test_an_instrument_is_emitted_in_the_published_language(record: InstrumentRecord) -> None:
    emitted = encode(instrument_body(record))
    for kind in instruments.EVENTS.values():
        assert encode(msgspec.json.decode(emitted, type=kind)) == emitted


def test_every_type_that_the_vault_emits_is_in_the_table() -> None:
    source = Path(vault_decide.__file__).read_text()
    literal = set(re.findall(r'"(instrument\.[a-z_]+)"', source)) - {vault_decide.FORGET}
    assert literal == set(instruments.EVENTS)


def test_every_type_that_payins_emit_is_in_the_table() -> None:
    folder = Path(decide.__file__).parent
    source = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    work = {decide.ASK, decide.EXPIRE, decide.OPERATE, decide.RETURN, decide.SUBMIT}
    literal = set(re.findall(r'"((?:payin|capture|refund|deposit|discrepancy)\.[a-z_]+)"', source)) - work
    assert literal == set(payins.EVENTS)


def test_every_end_of_a_payin_has_its_event() -> None:
    by_status = {f"payin.{status}" for status in TABLE.values() if status is not FIRST_WITH_PROVIDER}
    assert by_status <= set(payins.EVENTS)


def test_every_type_stands_once_with_an_example() -> None:
    names = [*payins.EVENTS, *instruments.EVENTS, *webhooks.EVENTS, *merchants.EVENTS, *ledger.EVENTS]
    assert len(names) == len(set(names))
    assert [name for name, _, _ in examples.EVENTS] == list(events.TYPES)
    for name, _, data in examples.EVENTS:
        assert type(data) is events.TYPES[name].data, name


@pytest.mark.parametrize("name", events.TYPES)
def test_an_event_is_about_an_id_with_the_prefix_of_its_kind(name: str) -> None:
    example, kind = events.TYPES[name].example, events.TYPES[name]
    prefix, _, text = example["subject"].rpartition("_")
    assert prefix == kind.subject_prefix
    row = (7, AT, name, UUID(text), b"{}")
    assert envelope_of(1, row).subject == example["subject"]


@pytest.mark.parametrize("name", events.TYPES)
def test_an_example_is_what_its_schema_allows(name: str) -> None:
    schema = events.schema(name)
    jsonschema_rs.meta.validate(schema)
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(events.TYPES[name].example)


def test_the_examples_fee_is_what_the_plan_charges() -> None:
    line = examples.CREATE_MERCHANT["fee_plan"][0]
    row = FeeRow(fixed_minor=line["fixed_minor"], basis_points=line["basis_points"])
    plan = FeePlan(book=2, version=1, fees={(line["family"], line["currency"]): row}, created_at=AT)
    assert examples.PAID.fees == fee_minor(plan, line["family"], line["currency"], examples.PAID.amount)


# Published


def published() -> dict[str, Any]:
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(events.PUBLISHED.glob("*.json"))}


def test_nothing_that_is_published_is_taken_away() -> None:
    found = published()
    assert set(found) <= set(events.TYPES), f"published and no longer there: {sorted(set(found) - set(events.TYPES))}"
    broken = {name: list(events.breaks(schema, events.schema(name))) for name, schema in found.items()}
    assert not {name: of for name, of in broken.items() if of}


def _data(schema: Any) -> Any:
    return schema["$defs"]["PayinPaid"]


def _optional(schema: Any) -> None:
    _data(schema)["properties"]["colour"] = {"type": "string", "default": ""}


def _removed(schema: Any) -> None:
    del _data(schema)["properties"]["amount"]
    _data(schema)["required"].remove("amount")


def _retyped(schema: Any) -> None:
    _data(schema)["properties"]["amount"]["type"] = "string"


def _reformatted(schema: Any) -> None:
    _data(schema)["properties"]["created_at"]["format"] = "date"


def _nullable(schema: Any) -> None:
    _data(schema)["properties"]["currency"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _required(schema: Any) -> None:
    _data(schema)["properties"]["colour"] = {"type": "string"}
    _data(schema)["required"].append("colour")


def _uncertain(schema: Any) -> None:
    _data(schema)["required"].remove("fees")


def _inside(schema: Any) -> None:
    del schema["$defs"]["ShowBankDetails"]["properties"]["clabe"]


def _action(schema: Any) -> None:
    union = _data(schema)["properties"]["next_action"]["anyOf"][0]
    del union["discriminator"]["mapping"]["show_qr"]


def _renamed(schema: Any) -> None:
    schema["properties"]["type"]["const"] = "payin.payed"


def _items(schema: Any) -> None:
    _data(schema)["properties"]["metadata"]["additionalProperties"] = {"type": "integer"}


CHANGES = [
    (_optional, None),
    (_removed, "/data/amount was removed"),
    (_retyped, "/data/amount was integer and is string"),
    (_reformatted, "/data/created_at was string (date-time) and is string (date)"),
    (_nullable, "/data/currency was string and is null or string"),
    (_required, "/data/colour is required now"),
    (_uncertain, "/data/fees was required"),
    (_inside, "/data/next_action/clabe was removed"),
    (_action, "/data/next_action was show_qr at times"),
    (_renamed, "/type was 'payin.paid' and is 'payin.payed'"),
    (_items, "/data/metadata/* was string and is integer"),
]


@pytest.mark.parametrize(("change", "complaint"), CHANGES, ids=[change.__name__[1:] for change, _ in CHANGES])
def test_a_change_breaks_readers_or_does_not(change: Callable[[Any], None], complaint: str | None) -> None:
    old, new = events.schema("payin.paid"), copy.deepcopy(events.schema("payin.paid"))
    change(new)
    assert list(events.breaks(old, new)) == ([] if complaint is None else [complaint])


def test_a_break_is_not_rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(events, "PUBLISHED", tmp_path)
    assert events.published("payin.paid") == events.schema("payin.paid"), "what is not published yet may be anything"
    richer = copy.deepcopy(events.schema("payin.paid"))
    _optional(richer)
    (tmp_path / "payin.paid.json").write_bytes(encode(richer))
    with pytest.raises(events.Breaking, match="/data/colour was removed"):
        events.published("payin.paid")


# AsyncAPI


def test_the_asyncapi_document_has_every_type_and_no_loose_end() -> None:
    document = msgspec.json.decode(encode(events.asyncapi()))
    assert document["asyncapi"] == "3.1.0"
    assert set(document["components"]["messages"]) == set(events.TYPES)
    sent = [name for channel in document["channels"].values() for name in channel["messages"]]
    assert sorted(sent) == sorted(events.TYPES)
    for target in re.findall(r'"\$ref":"#/([^"]+)"', encode(document).decode()):
        place = document
        for segment in target.split("/"):
            place = place[segment]


@pytest.mark.parametrize("name", events.TYPES)
def test_a_messages_example_is_what_its_payload_allows(name: str) -> None:
    document = events.asyncapi()
    message = document["components"]["messages"][name]
    schema = {**message["payload"], "components": document["components"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(message["examples"][0]["payload"])
