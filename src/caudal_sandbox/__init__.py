"""The outside world in a box: a bank and a provider that speak the wire protocols of docs/sandbox-protocol.md."""
