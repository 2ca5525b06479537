"""What a process does for the launcher that started it: it ends when the launcher is gone for whatever reason, so that
no orphans are left; and in an upgrade it says when it is ready.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from tasks.background import Loop

VARIABLE = "SENTIQ_PARENT"
"""The environment variable with the launcher's pid; absent in a process that the launcher did not start."""
READY_VARIABLE = "SENTIQ_READY"
"""The environment variable with the write end of a pipe, in a process that is to take the place of another."""
_POLL_S = 0.5
_GRACE_S = 8.0


def follow_parent() -> Loop | None:
    """Watches the launcher, if one started this process.

    When the launcher is gone, this process gets SIGTERM to finish its work; if it is still there after a while, it
    exits at once.
    """
    if VARIABLE not in os.environ:
        return None
    parent = int(os.environ[VARIABLE])

    def look() -> None:
        if os.getppid() == parent:
            return
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_S)
        os._exit(1)

    loop = Loop("follow-parent", look, period_s=_POLL_S)
    loop.start()
    return loop


def beside_another() -> bool:
    """Whether this process is to take the place of another, which still runs with the same settings or similar ones."""
    return READY_VARIABLE in os.environ


def tell_ready() -> None:
    """Tells the launcher that this process is ready, if it waits for that."""
    if (given := os.environ.pop(READY_VARIABLE, None)) is not None:
        with contextlib.suppress(OSError):  # the launcher is gone
            os.write(int(given), b"\n")
            os.close(int(given))
