"""The catalogue: countries, payment methods with their limits, payers' documents. Data, with its sources."""

from caudal.catalogue.documents import document_error
from caudal.catalogue.methods import COUNTRIES, METHODS, Method, near_method

__all__ = ["COUNTRIES", "METHODS", "Method", "document_error", "near_method"]
