"""What a story does not have any more, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from caudal.app.trace.gather import Story

# As many as their statements read.
_MOST: Final = {"batches": 200, "deliveries": 500, "attempts": 1000}
_MOVED: Final = "or the test clock has been moved since"


def gaps(story: Story) -> Iterator[str]:
    """One sentence for each kind of step that is not all there."""
    changes = [story.payin.created_at, *(row[5] for row in story.rows["changes"])]
    if not all(_written(story, "events", 1, at) for at in _states(story)):
        yield f"events: of a change of its state it was dropped, being older than CAUDAL_EVENT_DAYS, {_MOVED}"
    gone = sum(not _written(story, "batches", 6, at) for at in changes)
    if gone:
        yield f"batches: those of {gone} of {len(changes)} changes are gone, being kept for a day, {_MOVED}"
    since = story.payin.read_at - timedelta(days=story.webhook_days)
    told = {row[2] for row in story.rows["deliveries"]}
    if any(at < since and seq not in told for seq, at, *_ in story.rows["events"]):
        yield f"deliveries: those of events before {since:%Y-%m-%d} are gone, being kept for CAUDAL_WEBHOOK_DAYS"
    for kind, most in _MOST.items():
        if len(story.rows[kind]) >= most:
            yield f"{kind}: there may be more than the first {most}"


def _states(story: Story) -> list[datetime]:
    """When the payin began, and each change of its state."""
    moments, before = [story.payin.created_at], "submitting"  # sent again, or to the next provider: that is no news
    for _, _, status, _, _, at in story.rows["changes"]:
        moments += [] if status == before else [at]
        before = status
    return moments


def _written(story: Story, name: str, column: int, at: datetime) -> bool:
    ahead = timedelta(seconds=story.payin.clock_offset_s)
    written = {row[column] for row in story.rows[name]}
    return at in written or at - ahead in written
