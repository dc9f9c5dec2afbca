"""A past for a database: payins of weeks gone by, with all that belongs to them, as if every batch had been committed.

`story` says what happened, `postings` books it, `rows` writes it down table by table, `fill` copies it into the
database.
"""

from caudal_load.seed.fill import Say, Seeded, SeedFailed, seed

__all__ = ["Say", "SeedFailed", "Seeded", "seed"]
