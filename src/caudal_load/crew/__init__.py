"""The processes that send: one or several, told what to do by the one that was started, which itself sends nothing.

So neither drawing progress nor reading meters nor receiving webhooks delays a request, and a generator may have more
than one core. All processes share one schedule (each takes every n-th arrival of it), one clock (`perf_counter_ns` is
the machine's) and one numbering of requests.
"""

from caudal_load.crew.conductor import Crew, CrewFailed
from caudal_load.crew.job import Job

__all__ = ["Crew", "CrewFailed", "Job"]
