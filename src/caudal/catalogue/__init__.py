"""The catalogue: countries, payment methods with their limits, cards, banks, payers' documents and telephones.

Data, with its sources. Every `…_error` says what is wrong with a text, or None, and is pure.
"""

from caudal.catalogue.banks import BANKS, BankAccount, bank_account_errors, bank_error, clabe_error
from caudal.catalogue.cards import (
    BRANDS,
    CARD_BRANDS,
    bin_of,
    brand_error,
    brand_of,
    card_expiry_error,
    card_number_error,
    digits_of,
    has_expired,
    holder_name_error,
    is_of_brand,
    security_code_error,
)
from caudal.catalogue.documents import DOCUMENT_KINDS, document_error
from caudal.catalogue.methods import COUNTRIES, METHODS, Method, near_method, spoken
from caudal.catalogue.phones import phone_error

__all__ = [
    "BANKS",
    "BRANDS",
    "CARD_BRANDS",
    "COUNTRIES",
    "DOCUMENT_KINDS",
    "METHODS",
    "BankAccount",
    "Method",
    "bank_account_errors",
    "bank_error",
    "bin_of",
    "brand_error",
    "brand_of",
    "card_expiry_error",
    "card_number_error",
    "clabe_error",
    "digits_of",
    "document_error",
    "has_expired",
    "holder_name_error",
    "is_of_brand",
    "near_method",
    "phone_error",
    "security_code_error",
    "spoken",
]
