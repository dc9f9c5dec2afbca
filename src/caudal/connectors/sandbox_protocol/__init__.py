"""What the first five connectors share while they speak one documented protocol, the sandbox provider's.

docs/sandbox-protocol.md is the contract. A method that moves to the standard of its field stops importing this folder;
when none does, it goes.
"""
