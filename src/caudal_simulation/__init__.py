"""Whole caudals in one process on virtual time, with everything outside of them made up from a seed.

The web's and the worker's own code runs above a simulated database (behind the batch port), network, bank, provider
and receiver. A seed is a history: the same seed is the same history, event by event. docs/simulation.md says how to
read one, replay one, and plant a fault.
"""
