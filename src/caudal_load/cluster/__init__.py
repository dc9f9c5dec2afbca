"""PostgreSQL servers of the generator's own: a primary, its synchronous standby, and what befalls them."""

from caudal_load.cluster.pair import Pair, pair
from caudal_load.cluster.server import Server, ServerFailed

__all__ = ["Pair", "Server", "ServerFailed", "pair"]
