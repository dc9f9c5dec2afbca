"""Between the providers' words and ours: every code, every next action, and what a method's order has to have."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_args

import msgspec
import pytest

from caudal.connectors import (
    CAPABILITIES,
    CONNECTORS,
    AwaitPush,
    Capabilities,
    PayerDetails,
    Redirect,
    ShowQr,
    ShowVoucher,
)
from caudal.connectors.sandbox_protocol.translate import (
    REFUSALS,
    Garbled,
    ProviderAction,
    PushAction,
    QrAction,
    RedirectAction,
    Unfit,
    VoucherAction,
)
from caudal.contracts.reasons import Reason
from caudal.routing import is_soft
from tests.connectors import orders

# method, raw code, reason: the whole of the five tables
CODES = """
boleto  AMOUNT_NOT_ALLOWED               amount_not_allowed
boleto  BANK_UNAVAILABLE                 bank_unavailable
boleto  CANCELLED                        abandoned
boleto  CLOSED_ACCOUNT                   closed_account
boleto  EXPIRED                          timeout
boleto  FAILED                           processing_error
boleto  INSUFFICIENT_FUNDS               insufficient_funds
boleto  INVALID_ACCOUNT                  invalid_account
boleto  INVALID_PAYER                    invalid_request
boleto  NOT_AUTHORIZED                   do_not_honor
boleto  PAYER_REFUSED                    payer_declined
boleto  SUSPECTED_FRAUD                  suspected_fraud
card    01                               do_not_honor
card    02                               do_not_honor
card    03                               not_permitted
card    04                               card_restricted
card    05                               do_not_honor
card    06                               processing_error
card    07                               suspected_fraud
card    12                               invalid_request
card    13                               invalid_request
card    14                               invalid_card
card    15                               invalid_card
card    19                               invalid_request
card    30                               invalid_request
card    33                               expired_card
card    34                               suspected_fraud
card    36                               card_restricted
card    38                               limit_exceeded
card    41                               lost_or_stolen
card    43                               lost_or_stolen
card    46                               closed_account
card    51                               insufficient_funds
card    52                               invalid_account
card    53                               invalid_account
card    54                               expired_card
card    55                               authentication_failed
card    56                               invalid_card
card    57                               not_permitted
card    58                               not_permitted
card    59                               suspected_fraud
card    61                               limit_exceeded
card    62                               card_restricted
card    63                               suspected_fraud
card    65                               limit_exceeded
card    68                               timeout
card    75                               limit_exceeded
card    78                               card_restricted
card    79                               card_restricted
card    82                               invalid_security_code
card    83                               suspected_fraud
card    91                               bank_unavailable
card    92                               bank_unavailable
card    93                               not_permitted
card    94                               invalid_request
card    96                               processing_error
card    1A                               authentication_failed
card    5C                               not_permitted
card    9G                               payer_declined
card    N7                               invalid_security_code
card    R0                               payer_declined
card    R1                               payer_declined
card    R3                               payer_declined
card    EXPIRED                          abandoned
mpesa   1                                insufficient_funds
mpesa   2                                amount_not_allowed
mpesa   3                                amount_not_allowed
mpesa   4                                limit_exceeded
mpesa   5                                insufficient_funds
mpesa   6                                invalid_account
mpesa   7                                invalid_account
mpesa   8                                limit_exceeded
mpesa   11                               invalid_account
mpesa   12                               invalid_account
mpesa   15                               invalid_request
mpesa   17                               do_not_honor
mpesa   20                               invalid_request
mpesa   26                               processing_error
mpesa   1001                             processing_error
mpesa   1019                             timeout
mpesa   1025                             processing_error
mpesa   1032                             payer_declined
mpesa   1036                             processing_error
mpesa   1037                             timeout
mpesa   2001                             authentication_failed
mpesa   2006                             card_restricted
mpesa   2028                             not_permitted
mpesa   8006                             suspected_fraud
mpesa   9999                             processing_error
mpesa   EXPIRED                          timeout
pix     AB03                             timeout
pix     AB09                             bank_unavailable
pix     AB11                             timeout
pix     AC03                             invalid_account
pix     AC04                             closed_account
pix     AC06                             not_permitted
pix     AC07                             closed_account
pix     AC14                             invalid_account
pix     AG03                             not_permitted
pix     AG12                             not_permitted
pix     AG13                             not_permitted
pix     AGNT                             bank_unavailable
pix     AM01                             amount_not_allowed
pix     AM02                             limit_exceeded
pix     AM04                             insufficient_funds
pix     AM09                             amount_not_allowed
pix     AM12                             amount_not_allowed
pix     AM18                             invalid_request
pix     BE01                             invalid_account
pix     BE05                             invalid_request
pix     BE08                             processing_error
pix     BE15                             invalid_request
pix     BE17                             invalid_request
pix     CH11                             invalid_account
pix     CH16                             invalid_request
pix     CUST                             payer_declined
pix     DS04                             do_not_honor
pix     DS0G                             not_permitted
pix     DS0H                             not_permitted
pix     DS24                             timeout
pix     DS27                             bank_unavailable
pix     DT02                             invalid_request
pix     DT05                             not_refundable
pix     DUPL                             invalid_request
pix     ED05                             processing_error
pix     EXPIRED                          timeout
pix     FF07                             invalid_request
pix     FF08                             invalid_request
pix     FOCR                             suspected_fraud
pix     FR01                             suspected_fraud
pix     FRAD                             suspected_fraud
pix     MD01                             not_permitted
pix     MD06                             payer_declined
pix     RC09                             invalid_request
pix     RC10                             invalid_request
pix     RR04                             not_permitted
pix     SL02                             not_permitted
pix     UPAY                             not_refundable
pse     CANCELLED                        payer_declined
pse     EXPIRED                          timeout
pse     FAILED                           processing_error
pse     FAIL_BANKNOTFOUNDORDISABLED      bank_unavailable
pse     FAIL_BANKUNREACHEABLE            bank_unavailable
pse     FAIL_CANNOTGETCURRENTCYCLE       processing_error
pse     FAIL_ENTITYNOTEXISTSORDISABLED   not_permitted
pse     FAIL_ERRORINCREDITS              processing_error
pse     FAIL_EXCEEDEDLIMIT               limit_exceeded
pse     FAIL_GENERICERROR                processing_error
pse     FAIL_INVALIDAMOUNTS              amount_not_allowed
pse     FAIL_INVALIDAUTHORIZER           not_permitted
pse     FAIL_SERVICENOTEXISTS            not_permitted
pse     FAIL_TIMEOUT                     timeout
pse     FAIL_TRANSACTIONNOTALLOWED       not_permitted
pse     INSUFFICIENT_FUNDS               insufficient_funds
pse     INVALID_ACCOUNT                  invalid_account
pse     NOT_AUTHORIZED                   do_not_honor
pse     SUSPECTED_FRAUD                  suspected_fraud
"""
ROWS = [tuple(line.split()) for line in CODES.strip().splitlines()]


def words(method: str) -> Any:
    return import_module(f"{CONNECTORS[method]}.translate")


@pytest.mark.parametrize(("method", "code", "reason"), ROWS, ids=lambda text: text)
def test_a_code_has_its_reason(method: str, code: str, reason: str) -> None:
    assert words(method).reason_of(code) == reason


@pytest.mark.parametrize("method", orders.METHODS)
def test_the_table_above_is_whole(method: str) -> None:
    assert {code: reason for given, code, reason in ROWS if given == method} == words(method).REASONS


@pytest.mark.parametrize("method", orders.METHODS)
@pytest.mark.parametrize("code", ["", "??", "05 ", "insufficient_funds", "4111111111111111"])
def test_a_code_that_nobody_knows_says_so(method: str, code: str) -> None:
    assert words(method).reason_of(code) == "unrecognized"


# What must not be repeated, whoever is asked: category 1 of Visa, what ABECS calls irreversible for any brand,
# and what says that it may be a duplicate of one that was taken.
NEVER = {
    "card": "04 07 12 14 15 41 43 46 57 R0 R1 R3  13 19 30 54 56 58 63 83  94",
    "mpesa": "15",
    "pix": "DUPL",
}


@pytest.mark.parametrize(("method", "codes"), NEVER.items(), ids=NEVER)
def test_what_a_scheme_forbids_to_repeat_goes_to_no_other_provider(method: str, codes: str) -> None:
    reasons = {code: words(method).reason_of(code) for code in codes.split()}
    assert not {code: reason for code, reason in reasons.items() if is_soft(reason) or reason == "unrecognized"}
    assert not is_soft("unrecognized")


def test_every_reason_is_in_the_closed_list() -> None:
    assert {reason for _, _, reason in ROWS} | set(REFUSALS.values()) <= set(get_args(Reason))


VOUCHER = VoucherAction(line="1" * 47, barcode="1" * 44, due_on="2026-12-01", url=None)
ACTIONS: dict[str, tuple[ProviderAction, object]] = {
    "boleto": (VOUCHER, ShowVoucher(line="1" * 47, barcode="1" * 44, due_on="2026-12-01", url=None)),
    "card": (RedirectAction(url="http://3ds"), Redirect(url="http://3ds")),
    "mpesa": (PushAction(phone="+254712345678"), AwaitPush(phone="+254712345678")),
    "pix": (QrAction(payload="0002"), ShowQr(payload="0002")),
    "pse": (RedirectAction(url="http://bank"), Redirect(url="http://bank")),
}


@pytest.mark.parametrize("method", orders.METHODS)
def test_the_next_action_of_a_method_is_translated_and_any_other_is_garbled(method: str) -> None:
    right, ours = ACTIONS[method]
    assert words(method).action_of(right) == ours
    for other in (VOUCHER, RedirectAction(url="http://x"), PushAction(phone="1"), QrAction(payload="1")):
        if type(other) is not type(right):
            with pytest.raises(Garbled):
                words(method).action_of(other)


# What an order of a method lacks, and whether it can do without
LACKS = """
boleto  name      no
boleto  document  no
boleto  email     yes
card    card      no
card    document  yes
mpesa   phone     no
mpesa   name      yes
pix     document  yes
pse     bank      no
pse     document  no
pse     phone     yes
"""


@pytest.mark.parametrize("line", LACKS.strip().splitlines())
def test_an_order_without_what_its_method_needs_is_not_sent(line: str) -> None:
    method, lacks, allowed = line.split()
    given = orders.order(method)
    if lacks in PayerDetails.__struct_fields__:
        given = msgspec.structs.replace(given, payer=msgspec.structs.replace(given.payer, **{lacks: None}))
    else:
        given = msgspec.structs.replace(given, **{lacks: None})
    if allowed == "yes":
        assert words(method).asked(given).key == given.key
    else:
        with pytest.raises(Unfit):
            words(method).asked(given)


# What of the payer goes out: whom the method cannot do without, or whom its bank looks for.
TOLD = {
    "boleto": {"name", "document"},
    "card": {"name", "email", "document"},
    "mpesa": {"name", "phone"},
    "pix": {"name", "document"},
    "pse": {"name", "document"},
}


@pytest.mark.parametrize("method", orders.METHODS)
def test_a_provider_is_told_no_more_of_the_payer_than_its_method_needs(method: str) -> None:
    told = msgspec.structs.asdict(words(method).asked(orders.order(method)).payer)
    assert {name for name, value in told.items() if value is not None} == TOLD[method]


def test_a_card_shows_itself_nowhere() -> None:
    order = orders.order("card")
    for shown in (order, words("card").asked(order)):
        assert orders.CARD.number not in repr(shown) and "123" not in repr(shown.card)


def test_capabilities_are_data_and_agree_with_each_other() -> None:
    assert list(CAPABILITIES) == list(CONNECTORS) == sorted(CONNECTORS)
    for method, capabilities in CAPABILITIES.items():
        assert capabilities.method == method
        assert capabilities.manual_capture or not capabilities.partial_captures
        assert capabilities.deduplicates and capabilities.late_until_s > 0
        assert msgspec.json.decode(msgspec.json.encode(capabilities), type=Capabilities) == capabilities
