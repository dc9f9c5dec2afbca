"""What can be wrong with a link, and what of it has struck. The proxy asks; nothing here knows a socket.

`up` is from whoever connects to whoever listens, `down` the way back.
"""

import random
from typing import Literal

import msgspec

Direction = Literal["up", "down"]

# PostgreSQL's CommandComplete message of a COMMIT: type, length (itself included), tag, zero.
COMMITTED = b"C" + (4 + len(b"COMMIT\0")).to_bytes(4, "big") + b"COMMIT\0"


class Trouble(msgspec.Struct, kw_only=True):
    """One fault of a link, while it lasts; it meets a share of the connections that have something to say.

    Each is drawn once, and the first one is always met.

    What it does to a connection is said by the fields that are set; `struck` counts what it really did: bytes that were
    swallowed or held back, or connections that were reset with something to say.
    """

    share: float = 1.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    swallows: tuple[Direction, ...] = ()
    resets: bool = False
    loses_answers: bool = False
    marker: bytes | None = None
    """Of an answer that is to be lost; without one, the first bytes that come back after a question."""
    refuses: bool = False
    chance: random.Random = msgspec.field(default_factory=random.Random)
    struck: int = 0
    _has_met: bool = False

    def meets(self) -> bool:
        """Draw whether a connection is one of those."""
        if not self._has_met:
            self._has_met = True
            return True
        return self.chance.random() < self.share

    def late_s(self) -> float:
        """How long the next message is held back."""
        return max(0.0, self.delay_s + self.chance.uniform(-self.jitter_s, self.jitter_s))


def trouble_of(kind: str, parameters: dict[str, int | float | str], marker: bytes | None, seed: int) -> Trouble:
    """The trouble that a fault of a link means. `marker` is how an answer that may be lost is known."""
    chance, share = random.Random(seed), float(parameters.get("share", 1.0))
    match kind:
        case "latency":
            delay_s, jitter_s = float(parameters["ms"]) / 1e3, float(parameters["jitter_ms"]) / 1e3
            return Trouble(share=share, chance=chance, delay_s=delay_s, jitter_s=jitter_s)
        case "black_hole":
            return Trouble(share=share, chance=chance, swallows=("up", "down"))
        case "half_open":
            dead: Direction = "up" if parameters["direction"] == "up" else "down"
            return Trouble(share=share, chance=chance, swallows=(dead,))
        case "reset":
            return Trouble(share=share, chance=chance, resets=True)
        case "lost_answer":
            return Trouble(share=share, chance=chance, loses_answers=True, marker=marker)
        case "drip":
            return Trouble(share=share, chance=chance, bytes_per_s=float(parameters["bytes_per_s"]))
        case "refuse":
            return Trouble(share=1.0, chance=chance, refuses=True)
    raise ValueError(f"no fault of a link: {kind}")
