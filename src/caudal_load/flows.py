"""What the payins of the scenarios say: six methods, six of the world's ways to pay.

The amounts of methods whose payer acts later end in 9401: the sandbox's payer pays by herself 0.3 s after the creation
(docs/sandbox-protocol.md, magic values). A SPEI payin is paid by a transfer that the generator orders at the bank.
"""

CARD = (
    '{"amount":12050,"currency":"BRL","country":"BR","method":"card","reference":"{token}",'
    '"instrument":{"id":"{instrument}"},"payer":{"name":"Ana Souza","email":"ana@example.com"}}'
)
PIX = (
    '{"amount":19401,"currency":"BRL","country":"BR","method":"pix","reference":"{token}",'
    '"payer":{"name":"Ana Souza","document":"39053344705"}}'
)
BOLETO = (
    '{"amount":29401,"currency":"BRL","country":"BR","method":"boleto","reference":"{token}",'
    '"payer":{"name":"Ana Souza","document":"39053344705"}}'
)
PSE = (
    '{"amount":5009401,"currency":"COP","country":"CO","method":"pse","reference":"{token}",'
    '"payer":{"name":"Carlos Rojas","document":"1020304050"},"instrument":{"bank":"1007"},'
    '"return_url":"https://shop.example/"}'
)
MPESA = (
    '{"amount":19401,"currency":"KES","country":"KE","method":"mpesa","reference":"{token}",'
    '"payer":{"name":"Wanjiru","phone":"+254712345678"}}'
)
SPEI = (
    '{"amount":12050,"currency":"MXN","country":"MX","method":"spei","reference":"{token}",'
    '"payer":{"name":"Ana Pérez","email":"ana@example.com"}}'
)

FEES = (
    ("card", "BRL"),
    ("instant_transfer", "BRL"),
    ("instant_transfer", "MXN"),
    ("cash_voucher", "BRL"),
    ("mobile_money", "KES"),
    ("bank_redirect", "COP"),
)
"""Families and currencies for which the merchants of a run have a fee."""


def tracking_key(reference: str) -> str:
    """The name of the transfer that pays the SPEI payin of this reference: letters and digits, at most 30."""
    return reference.replace("-", "")
