"""What the provider refuses, and how it is said in HTTP.

ProviderRefusal
├── Unknown      no payment, operation or dispute of that name in this method
├── KeyReused    the key names something else already
├── Refused      not possible, for good: `code` says why
└── WrongMoment  the payer cannot do that now
"""

from caudal_sandbox.problems import Problem


class ProviderRefusal(Exception):
    """The provider says no; nothing has changed. The arguments are a code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Unknown(ProviderRefusal):
    """Nothing has this key or reference."""


class KeyReused(ProviderRefusal):
    """Something else has this key already."""


class Refused(ProviderRefusal):
    """What is asked is not possible, now and later."""


class WrongMoment(ProviderRefusal):
    """The payer cannot do this to a payment that stands as it does."""


STATUS = {Unknown: 404, KeyReused: 409, Refused: 422, WrongMoment: 409}


def of_refusal(refusal: ProviderRefusal) -> Problem:
    """Say a refusal in HTTP."""
    return Problem(STATUS[type(refusal)], refusal.code, refusal.detail)


def key_reused() -> KeyReused:
    """Refuse a key that names something else."""
    return KeyReused("key_reused", "This key was used before, for something else.")
