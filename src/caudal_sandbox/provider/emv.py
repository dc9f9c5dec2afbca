"""Pix's code to scan or to copy and paste: an EMVCo merchant-presented QR with the fields of the Banco Central. Pure.

A dynamic code (Manual de Padrões para Iniciação do Pix): field 26 carries br.gov.bcb.pix and the address of the
charge, field 62-05 is "***", field 63 the CRC-16/CCITT-FALSE of everything before its own four digits.
"""

import binascii

MERCHANT = "Caudal Sandbox"
CITY = "Sao Paulo"
BRL = "986"


def pix_payload(location: str, amount_minor: int) -> str:
    """Write the code for a charge of so many centavos; `location`: its address without scheme, ≤ 77 characters."""
    account = field("00", "br.gov.bcb.pix") + field("25", location)
    body = "".join(
        (
            field("00", "01"),
            field("01", "12"),  # a code for one payment only
            field("26", account),
            field("52", "0000"),
            field("53", BRL),
            field("54", f"{amount_minor // 100}.{amount_minor % 100:02d}"),
            field("58", "BR"),
            field("59", MERCHANT),
            field("60", CITY),
            field("62", field("05", "***")),
            "6304",
        )
    )
    return body + crc16(body)


def field(tag: str, value: str) -> str:
    """Write one field: two digits of tag, two of length, the value."""
    assert 1 <= len(value) <= 99, f"field {tag} has {len(value)} characters"
    return f"{tag}{len(value):02d}{value}"


def crc16(text: str) -> str:
    """Return CRC-16/CCITT-FALSE (polynomial 1021, start FFFF) in four upper-case hex digits."""
    return f"{binascii.crc_hqx(text.encode(), 0xFFFF):04X}"
