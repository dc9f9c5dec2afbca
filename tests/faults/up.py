"""`caudal up` with other pauses before it starts again what died: `python -m tests.faults.up up`.

A process that dies within ten seconds comes back more and more slowly, so that a broken one does not spin. Here each
dies every few seconds because somebody kills it; twenty kills of each would take five minutes.
"""

from caudal.app import children, cli
from caudal.kernel.postgres import cluster

STEADY_S = 0.5  # a process that lived so long comes back at once
DATABASE_AWAY_S = (0.4, 0.4)  # longer than some callers can wait

if __name__ == "__main__":
    vars(children)["STEADY_S"] = STEADY_S
    vars(cluster)["BACKOFF_S"] = DATABASE_AWAY_S
    cli.main()
