"""The story: one function per verb."""

from caudal.merchants.commands.callers import (
    KeyCache,
    authenticate,
    authenticate_operator,
    caller_of,
    operator_key,
    signature_of,
)
from caudal.merchants.commands.changes import (
    CLI,
    Asking,
    Made,
    actor_of,
    change_fees,
    change_settings,
    create_key,
    create_merchant,
    create_operator,
    first_merchant,
    first_operator,
    revoke_key,
    revoke_operator,
    rotate_key,
)

__all__ = [
    "CLI",
    "Asking",
    "KeyCache",
    "Made",
    "actor_of",
    "authenticate",
    "authenticate_operator",
    "caller_of",
    "change_fees",
    "change_settings",
    "create_key",
    "create_merchant",
    "create_operator",
    "first_merchant",
    "first_operator",
    "operator_key",
    "revoke_key",
    "revoke_operator",
    "rotate_key",
    "signature_of",
]
