"""The catalogue: countries, payment methods with their limits, payers' documents. Data, with its sources."""

from caudal.catalogue.documents import DOCUMENT_KINDS, document_error
from caudal.catalogue.methods import COUNTRIES, METHODS, Country, Method, near_method

__all__ = ["COUNTRIES", "DOCUMENT_KINDS", "METHODS", "Country", "Method", "document_error", "near_method"]
