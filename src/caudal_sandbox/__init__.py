"""The outside world in a box: a bank that speaks the wire protocol of docs/sandbox-protocol.md and nothing else."""
