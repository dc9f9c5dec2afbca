"""What can go wrong with the embedded database: every message says what to do about it."""

from __future__ import annotations


class ClusterError(Exception):
    """The embedded PostgreSQL cannot be made, started or stopped."""


class NotDurable(ClusterError):
    """A server whose settings may lose acknowledged work, or one too old; never restarted, always refused."""
