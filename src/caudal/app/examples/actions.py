"""What the payer does next, by method, as the sandbox of `caudal up` has it; and how long each payin waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from caudal.catalogue import METHODS
from caudal.contracts import payins
from caudal.kernel.clock import rfc3339

PAYIN_ID: Final = "payin_01a207d9210075c38000019a41e07f2b"
AMOUNT_MINOR: Final = 12_050
CLABE: Final = "646180018592801986"
CREATED_AT: Final = "2026-11-23T10:00:00.000000Z"
AUTHORIZED_AT: Final = "2026-11-23T10:00:00.310448Z"
AUTHORIZED_UNTIL: Final = "2026-11-30T10:00:00.310448Z"
COUNTRIES: Final = {method: country for country, method in METHODS}

_SANDBOX: Final = "http://127.0.0.1:8701"
_PAGE: Final = f"{_SANDBOX}/pay/{PAYIN_ID.removeprefix('payin_')}"


def expires_at(method: str) -> str:
    """When the story's payin would expire by this method, unless its merchant said otherwise."""
    minutes = METHODS[COUNTRIES[method], method].expiry_minutes
    return rfc3339(datetime.fromisoformat(CREATED_AT) + timedelta(minutes=minutes))


def bank_details(amount_minor: int, *, told: bool) -> payins.ShowBankDetails:
    """The transfer that is missing; events behind the first are not `told` the sandbox's page."""
    return payins.ShowBankDetails(
        clabe=CLABE,
        beneficiary="caudal",
        amount=amount_minor,
        currency="MXN",
        expires_at=expires_at("spei"),
        payer_page=f"{_SANDBOX}/pay?clabe={CLABE}&amount={amount_minor}" if told else None,
    )


QR: Final = payins.ShowQr(
    payload="00020101021226730014br.gov.bcb.pix2551127.0.0.1:8701/pay/01a207d9210075c38000019a41e07f2b"
    "5204000053039865406120.505802BR5914Caudal Sandbox6009Sao Paulo62070503***6304D7F2",
    expires_at=expires_at("pix"),
    payer_page=_PAGE,
)
ACTIONS: Final[dict[str, payins.NextAction]] = {
    "spei": bank_details(AMOUNT_MINOR, told=True),
    "pix": QR,
    "boleto": payins.ShowVoucher(
        line="99996868690911532271249470778512116690000012050",
        barcode="99991166900000120506868609115322714947077851",
        due_on="2026-12-23",
        url=_PAGE,
        expires_at=expires_at("boleto"),
        payer_page=_PAGE,
    ),
    "pse": payins.RedirectTo(url=_PAGE, expires_at=expires_at("pse"), payer_page=_PAGE),
    "mpesa": payins.AwaitPush(phone="…678", expires_at=expires_at("mpesa"), payer_page=_PAGE),
}
