"""When something is due, and when it was: the wall clock of the start, carried on by the monotonic one.

So whoever sets this machine's clock moves no callback and no timer. Signatures alone are made and judged by the clock
as it is, as a provider's are.
"""

import time

_START_MS = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000


def now_ms() -> int:
    """Milliseconds since 1970."""
    return _START_MS + time.monotonic_ns() // 1_000_000
