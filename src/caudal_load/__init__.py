"""The load generator: a process of its own that knows caudal only by its API and its tables.

It asks over real TCP, counts what was acknowledged, and afterwards looks for every acknowledged payin. `docs/load.md`
says what the figures mean.
"""
