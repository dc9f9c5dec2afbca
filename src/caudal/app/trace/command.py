"""`caudal trace`: the story on a terminal."""

from __future__ import annotations

import json
from typing import Annotated, Final

import typer

from caudal.app.administration import AsJson, run_within
from caudal.app.trace.http import trace_of
from caudal.kernel.http import encode

EPILOG: Final = "Example: caudal trace payin_01a19b981dc071f08000014be2d90c77"


def trace(
    id: Annotated[
        str,
        typer.Argument(
            help="A payin, or a capture, void, refund, deposit, dispute, evidence, discrepancy, event or delivery of "
            "one; with or without its prefix."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show one payment's whole story: states, attempts, operations, money, batches, postings, events, webhooks.

    In the order of time, with what each step took. Who pays is not in it. The same by the API: GET
    /v1/operator/traces/ID. Needs CAUDAL_DATABASE_URL and CAUDAL_KEK, or a `caudal up` here.
    Exits 0, or 2 with the reason.
    """
    from caudal.app.trace.view import printed  # a terminal's library: only whoever shows something loads it

    story = run_within(lambda context: trace_of(context, id.strip()))
    if as_json:
        typer.echo(json.dumps(json.loads(encode(story)), indent=2, ensure_ascii=False))
        return
    printed(story)
