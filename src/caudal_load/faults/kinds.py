"""The table of faults: what each kind does to which target, what shows that it happened, and what it needs here."""

from collections.abc import Sequence

import msgspec

from caudal_load.faults.model import BadFaults, Parameter

PROCESSES = ("web", "worker", "sandbox", "postgres", "backend")
LINKS = ("database", "provider", "callback", "webhook")
LINK_FAULTS = ("latency", "black_hole", "reset", "half_open", "lost_answer", "drip", "refuse")


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault. Seconds are ranges to draw from; `rest_s` is what a fault leaves to recovery."""

    name: str
    targets: tuple[str, ...]
    does: str
    evidence: str
    needs: tuple[str, ...] = ()
    for_s: tuple[float, float] = (0.0, 0.0)
    rest_s: float = 1.0
    choices: dict[str, tuple[Parameter, ...]] = {}
    """Parameters, each drawn from what it may be."""
    of_target: dict[str, dict[str, tuple[Parameter, ...]]] = {}
    """The same where they differ for one target."""


# The sandbox's own table (docs/sandbox-protocol.md): an amount's four last digits, and what they order.
ORDERS: dict[str, str] = {
    "insufficient_funds": "9001",
    "do_not_honor": "9002",
    "suspected_fraud": "9003",
    "processing_error": "9004",
    "silence_before": "9101",
    "silence_after": "9102",
    "error_after": "9103",
    "reset_before": "9104",
    "reset_after": "9105",
    "drip": "9106",
    "slow": "9107",
    "silence_alone": "9108",
    "busy": "9109",
    "twice": "9201",
    "reordered": "9202",
    "early": "9203",
    "contradictory": "9204",
    "forged": "9205",
    "other_account": "9206",
    "unknown_key": "9207",
    "refund_fails": "9301",
    "refund_waits": "9302",
    "capture_fails": "9303",
    "disputed": "9304",
    "refund_fails_late": "9305",
    "pays": "9401",
}

_SHARE = (0.3, 0.6, 1.0)

KINDS: tuple[Kind, ...] = (
    Kind(
        name="kill",
        targets=PROCESSES,
        does="kill -9 while requests are in flight; a supervisor starts the process again (a backend: PostgreSQL does)",
        evidence="the process has ended by this signal, and requests were in flight when it was sent",
        rest_s=5.0,
        choices={"which": (0, 1)},
    ),
    Kind(
        name="pause",
        targets=PROCESSES,
        does="SIGSTOP, and SIGCONT after a while",
        evidence="/proc says that the process is stopped, and requests were in flight",
        for_s=(0.3, 3.0),
        choices={"which": (0, 1)},
    ),
    Kind(
        name="latency",
        targets=LINKS,
        does="everything on some of the connections comes late, with jitter",
        evidence="bytes that were held back",
        for_s=(0.5, 2.0),
        choices={"ms": (20, 80, 300), "jitter_ms": (0, 20, 100), "share": _SHARE},
    ),
    Kind(
        name="black_hole",
        targets=LINKS,
        does="some of the connections, new ones too, take everything and pass nothing on; reset when it ends",
        evidence="bytes that were swallowed",
        for_s=(0.5, 2.5),
        choices={"share": _SHARE},
    ),
    Kind(
        name="reset",
        targets=LINKS,
        does="some of the connections are reset at their next message, new ones too",
        evidence="connections with something to say that got a RST",
        for_s=(0.2, 1.0),
        choices={"share": _SHARE},
    ),
    Kind(
        name="half_open",
        targets=LINKS,
        does="one direction of some of the connections is dead, the other goes on; reset when it ends",
        evidence="bytes that were swallowed in the dead direction",
        for_s=(0.5, 2.5),
        choices={"direction": ("up", "down"), "share": _SHARE},
    ),
    Kind(
        name="lost_answer",
        targets=LINKS,
        does="what was asked arrives and is done; its answer (of PostgreSQL: that of COMMIT) is dropped, then a reset",
        evidence="answers that were seen and dropped",
        for_s=(0.3, 1.0),
        choices={"share": _SHARE},
    ),
    Kind(
        name="drip",
        targets=LINKS,
        does="some of the connections pass so many bytes a second, no more",
        evidence="bytes that were held back",
        for_s=(0.5, 2.0),
        choices={"bytes_per_s": (200, 2_000, 20_000), "share": _SHARE},
    ),
    Kind(
        name="refuse",
        targets=LINKS,
        does="nobody listens, and the connections that there are get a RST",
        evidence="connections that were reset, and a connection of our own that was refused",
        for_s=(0.3, 2.0),
    ),
    Kind(
        name="provider",
        targets=tuple(ORDERS),
        does="payments are made with the amount that orders this of the sandbox's provider",
        evidence="a payment or operation of such an amount in the sandbox's books",
        for_s=(1.0, 2.0),
        rest_s=0.0,
    ),
    Kind(
        name="outage",
        targets=("down", "declines"),
        does="the first of the two providers refuses everything, or declines a share of new payments for no reason",
        evidence="payments of a later attempt in the second provider's books",
        for_s=(0.8, 1.5),
        rest_s=0.5,
        of_target={"declines": {"share": (0.5, 1.0)}},
    ),
    Kind(
        name="disk_full",
        targets=("data", "wal"),
        does="the file system (a tmpfs) of PostgreSQL's data or of its write-ahead log has no room left",
        evidence="PostgreSQL's log says `No space left on device`",
        needs=("mount",),
        for_s=(1.5, 2.5),
        rest_s=4.0,
    ),
    Kind(
        name="fsync_error",
        targets=("data", "wal"),
        does="fsync and fdatasync of PostgreSQL's checkpointer (data) or its sessions (wal) fail with EIO",
        evidence="strace says that it injected the error",
        needs=("strace",),
        for_s=(0.5, 1.0),
        rest_s=4.0,
    ),
    Kind(
        name="clock",
        targets=("web", "worker", "sandbox"),
        does="the wall clock of one process jumps, forward or back, and returns; the monotonic clock does not",
        evidence="the process has read its new clock",
        needs=("faketime",),
        for_s=(1.0, 2.0),
        choices={"jump_s": (-7_200, -600, -61, 61, 600, 7_200), "which": (0, 1)},
        of_target={"sandbox": {"jump_s": (-240, -61, 61, 240)}},  # further off, its callbacks are rightly refused
    ),
    Kind(
        name="connections",
        targets=("server", "pool"),
        does="others take all connections of PostgreSQL (server), or a lock keeps reads and with them the pool (pool)",
        evidence="PostgreSQL refused a session of caudal's (53300); or so many reads wait as the pool has connections",
        for_s=(1.0, 2.0),
        rest_s=1.5,
    ),
)

BY_NAME = {kind.name: kind for kind in KINDS}


def chosen(names: Sequence[str] = ()) -> list[tuple[Kind, str]]:
    """Each kind and target that the names mean, once: `kill` is all targets of a kind, `kill:web` one; none: all.

    Raises BadFaults for a name that means nothing.
    """
    found: dict[tuple[str, str], tuple[Kind, str]] = {}
    for name in names or list(BY_NAME):
        word, _, target = name.partition(":")
        kind = BY_NAME.get(word)
        if kind is None:
            raise BadFaults(f"there is no kind of fault {word!r}; there is: {', '.join(BY_NAME)}")
        if target and target not in kind.targets:
            raise BadFaults(f"{word!r} happens to {', '.join(kind.targets)}; not to {target!r}")
        found |= {(word, each): (kind, each) for each in kind.targets if target in ("", each)}
    return list(found.values())
