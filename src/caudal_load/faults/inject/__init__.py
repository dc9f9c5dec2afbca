"""The injectors: each begins a fault when it is entered and ends it when it is left, and writes down what showed it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from caudal_load.faults.inject.clock import jumped
from caudal_load.faults.inject.connections import taken
from caudal_load.faults.inject.links import troubled
from caudal_load.faults.inject.orders import ordered
from caudal_load.faults.inject.outages import away
from caudal_load.faults.inject.processes import killed, paused
from caudal_load.faults.inject.seen import Seen
from caudal_load.faults.inject.storage import failing_fsync, full_disk
from caudal_load.faults.kinds import LINK_FAULTS
from caudal_load.faults.model import Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

Injector = Callable[["Whole", Fault, Seen], AbstractAsyncContextManager[None]]

INJECTORS: dict[str, Injector] = {
    "kill": killed,
    "pause": paused,
    **dict.fromkeys(LINK_FAULTS, troubled),
    "provider": ordered,
    "outage": away,
    "disk_full": full_disk,
    "fsync_error": failing_fsync,
    "clock": jumped,
    "connections": taken,
}
