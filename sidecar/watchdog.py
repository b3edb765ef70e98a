"""Ends the process when the time for its shutdown is over, whatever hangs: the last line of BOUNDED_STOP.

Loaded before everything heavy, because a signal may come while settings are read or a ledger is opened from a disk that
hangs. It must not rely on the event loop, on locks of other code, or on anybody who reads standard error.
"""

from __future__ import annotations

import _thread
import faulthandler
import os
import select
import time
from contextlib import suppress
from typing import Final

from sidecar.exit_codes import UNREACHABLE


class Watchdog:
    """At most one end at a time: arming it again replaces the end that was set before."""

    def __init__(self) -> None:
        """Set no end."""
        self._armed = 0

    def arm(self, budget: float) -> None:
        """End the process ``budget`` seconds from now: a look-up in a thread, a blocked loop, an exit handler may hang.

        The thread needs the interpreter's lock; behind it stands the C thread of ``faulthandler``, which does not, and
        whose traceback shows no values. Called by a signal's handler: ``threading.Thread`` would take locks that the
        code which was interrupted may hold.
        """
        self._armed += 1
        _thread.start_new_thread(self._enforce, (budget, self._armed))
        with suppress(ValueError, OSError, AttributeError):  # no usable standard error
            faulthandler.dump_traceback_later(budget + 1.0, exit=True)

    def _enforce(self, budget: float, armed: int) -> None:
        time.sleep(budget)
        if armed != self._armed:
            return
        with suppress(OSError):
            stderr = select.poll()
            stderr.register(2, select.POLLOUT)
            if stderr.poll(0):  # a reader that has stalled is one of the things that hang
                os.write(2, b"license-sidecar: the time to stop is over; what is not released is left to the peers\n")
        os._exit(UNREACHABLE)


WATCHDOG: Final = Watchdog()
"""That of this process."""
