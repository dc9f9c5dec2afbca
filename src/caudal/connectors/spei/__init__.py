"""SPEI, Mexico's instant transfer: payers send money to a CLABE of ours and the bank reports it."""

from caudal.connectors.providers import bank_of
from caudal.connectors.spei.clabe import number_of, of_number, place_of, prefix_of
from caudal.connectors.spei.client import SpeiClient
from caudal.connectors.spei.inbound import SpeiCallback, receive, signature

__all__ = [
    "SpeiCallback",
    "SpeiClient",
    "bank_of",
    "number_of",
    "of_number",
    "place_of",
    "prefix_of",
    "receive",
    "signature",
]
