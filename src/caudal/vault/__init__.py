"""The vault: card numbers come in here, sealed, and leave for one call to a provider.

A batch that pays with an instrument needs `(INSTRUMENTS, id)`, asks `refuse_unusable`, and puts what `spend_code` gives
beside its own rows; the record as it was read then goes to `open_card`, outside of any batch.
"""

from caudal.vault.commands import open_card, rewrap
from caudal.vault.decide import refuse_unusable, spend_code
from caudal.vault.jobs import JOBS
from caudal.vault.model import InstrumentRecord
from caudal.vault.rows import INSTRUMENTS

__all__ = ["INSTRUMENTS", "JOBS", "InstrumentRecord", "open_card", "refuse_unusable", "rewrap", "spend_code"]
