"""Ends a process when the launcher that started it is gone for whatever reason, so that no orphans are left."""

from __future__ import annotations

import os
import signal
import time

from tasks.background import Loop

VARIABLE = "SENTIQ_PARENT"
"""The environment variable with the launcher's pid; absent in a process that the launcher did not start."""
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
