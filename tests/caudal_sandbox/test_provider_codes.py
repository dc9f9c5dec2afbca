"""Pix codes, boletos and card numbers, against published examples and rules written a second time."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal_sandbox.provider import boleto, cards, emv, magic
from tests.caudal_sandbox.payer import Caller, order

# Banco Central do Brasil, Manual de Padrões para Iniciação do Pix, the example of a static code.
BCB = (
    "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR5913Fulano de Tal"
    "6008BRASILIA62070503***63041D3D"
)
# Banco do Brasil's example of a boleto of R$ 1.00.
BB_BARCODE = "00193373700000001000500940144816060680935031"
BB_LINE = "00190500954014481606906809350314337370000000100"


def read(text: str) -> dict[str, str]:
    """Take an EMVCo code apart."""
    fields: dict[str, str] = {}
    while text:
        length = int(text[2:4])
        assert text[:2] not in fields
        fields[text[:2]], text = text[4 : 4 + length], text[4 + length :]
    return fields


def crc(text: str) -> str:
    """CRC-16/CCITT-FALSE, bit by bit."""
    register = 0xFFFF
    for byte in text.encode():
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ 0x1021 if register & 0x8000 else register << 1) & 0xFFFF
    return f"{register:04X}"


def test_the_checksum_is_the_central_banks() -> None:
    assert emv.crc16(BCB[:-4]) == BCB[-4:] == crc(BCB[:-4])


@given(st.integers(1, 99_999_999_999), st.text("abcdef0123456789./:", min_size=1, max_size=77))
def test_a_pix_code_has_the_central_banks_fields(amount_minor: int, location: str) -> None:
    code = emv.pix_payload(location, amount_minor)
    assert code[-4:] == crc(code[:-4])
    fields = read(code)
    assert list(fields) == ["00", "01", "26", "52", "53", "54", "58", "59", "60", "62", "63"]
    assert [fields[tag] for tag in ("00", "01", "52", "53", "58")] == ["01", "12", "0000", "986", "BR"]
    assert read(fields["26"]) == {"00": "br.gov.bcb.pix", "25": location}
    assert read(fields["62"]) == {"05": "***"}
    assert round(float(fields["54"]) * 100) == amount_minor and len(fields["54"]) <= 13
    assert len(fields["59"]) <= 25 and len(fields["60"]) <= 15


def test_a_boletos_line_is_that_of_the_published_example() -> None:
    assert boleto.line(BB_BARCODE) == BB_LINE
    assert boleto.modulo_11(BB_BARCODE[:4] + BB_BARCODE[5:]) == BB_BARCODE[4]
    assert boleto.printed(BB_LINE) == "00190.50095 40144.816069 06809.350314 3 37370000000100"


@pytest.mark.parametrize(
    ("day", "factor"),
    [
        (date(2025, 2, 22), 1000),
        (date(2025, 2, 23), 1001),
        (date(2026, 11, 23), 1639),
        (date(2049, 10, 13), 9999),
        (date(2049, 10, 14), 1000),
    ],
)
def test_the_due_factor_began_again_in_2025(day: date, factor: int) -> None:
    assert boleto.due_factor(day) == factor


@given(
    st.from_regex(r"[0-9a-f]{32}(-[2-9])?", fullmatch=True),
    st.integers(1, 9_999_999_999),
    st.dates(date(2025, 2, 22), date(2049, 10, 13)),
)
def test_a_boleto_can_be_read_back_and_every_digit_is_guarded(key: str, amount_minor: int, due: date) -> None:
    code = boleto.barcode(key, amount_minor, due)
    assert code != boleto.barcode(f"{key}-9", amount_minor, due), "a second attempt's is another"
    line = boleto.line(code)
    assert (len(code), len(line)) == (44, 47)
    assert int(code[9:19]) == amount_minor and int(code[5:9]) == 1000 + (due - date(2025, 2, 22)).days
    again = line[:4] + line[32] + line[33:] + line[4:9] + line[10:20] + line[21:31]
    assert again == code
    assert sum(int(digit) * (2 + place % 8) for place, digit in enumerate(reversed(code[:4] + code[5:]))) % 11 in (
        {0, 1, 10} if code[4] == "1" else {11 - int(code[4])}
    )
    for group in (line[:10], line[10:21], line[21:32]):
        assert boleto.modulo_10(group[:-1]) == group[-1]
        wrong = str((int(group[0]) + 1) % 10) + group[1:]
        assert boleto.modulo_10(wrong[:-1]) != wrong[-1]


def test_a_boleto_is_due_on_the_day_in_brasilia(provider: Caller) -> None:
    told = provider.pay(order("boleto", expires_at="2030-02-01T02:59:59Z"), "boleto").json["action"]
    assert told["due_on"] == "2030-01-31"
    assert told["line"] == boleto.line(told["barcode"])
    assert provider.bank.call("GET", "/pay/" + told["url"][-32:]).status == 200


@pytest.mark.parametrize("row", [row for row in magic.TABLE if row.part == "card"], ids=lambda row: row.value)
def test_every_magic_number_passes_luhn_and_no_neighbour_does(row: magic.Magic) -> None:
    assert cards.luhn(row.value)
    assert not cards.luhn(row.value[:-1] + str((int(row.value[-1]) + 1) % 10))


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4111111111111111", "visa"),
        ("5555555555554444", "mastercard"),
        ("2221000000000009", "mastercard"),
        ("2720990000000007", "mastercard"),
        ("378282246310005", "amex"),
        ("6362970000457013", "elo"),
        ("6062826786276634", "hipercard"),
        ("30569309025904", "diners"),
        ("9999999999999995", "unknown"),
    ],
)
def test_a_number_tells_its_brand(number: str, brand: str) -> None:
    card = cards.judge(number, 2090, 1, (2026, 11))
    assert (card.brand, card.last_four, card.code) == (brand, number[-4:], None)


@pytest.mark.parametrize(
    ("number", "expiry", "code"),
    [
        ("4111111111111112", (2090, 1), "14"),
        ("4111111111111111", (2026, 10), "54"),
        ("4111111111111111", (2026, 11), None),
        ("4000000000000002", (2026, 10), "54"),
    ],
)
def test_an_issuer_knows_wrong_numbers_and_old_cards(number: str, expiry: tuple[int, int], code: str | None) -> None:
    assert cards.judge(number, *expiry, (2026, 11)).code == code


def test_every_method_has_a_code_for_what_the_provider_itself_says() -> None:
    for method in magic.DECLINED_BY_PAYER:
        for meaning in ("insufficient_funds", "do_not_honor", "suspected_fraud", "processing_error"):
            assert magic.is_code(method, magic.code(method, meaning))
        assert magic.is_code(method, magic.DECLINED_BY_PAYER[method])
