"""The checks: each is a function of what is known of a run, and says what is not as promised."""

from collections.abc import Callable, Iterable, Iterator

from caudal_load.faults.checks import answers, chain, events, limits, once, postings, states
from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Evidence

CHECKS: dict[str, tuple[str, Callable[[Evidence], Iterator[Violation]]]] = {
    postings.NAME: ("postings sum to zero, balances equal their replay", postings.check),
    answers.NAME: ("acknowledged is there as answered, refused left nothing, unknown is one of them", answers.check),
    once.NAME: ("per key one effect, per payment one charge, both books agree", once.check),
    limits.NAME: ("no request is beyond a limit at any prefix of the postings", limits.check),
    events.NAME: ("events without gaps, each delivered, first deliveries in order", events.check),
    states.NAME: ("states only along the table", states.check),
    chain.NAME: ("the hash chain holds", chain.check),
}


def examine(evidence: Evidence, without: Iterable[str] = ()) -> list[Violation]:
    """What all checks find but those that are left out; what never came to rest is `stuck` whatever is left out."""
    found = [Violation("quiet", Harm.STUCK, f"{one.what}: {one.which}") for one in evidence.stuck]
    for name, (_, check) in CHECKS.items():
        if name not in without:
            found += check(evidence)
    return found


__all__ = ["CHECKS", "Harm", "Violation", "examine"]
