"""Between the launcher and the processes that it starts. No orphans: a process ends when the launcher is gone, however
it went.
"""

from __future__ import annotations

import os
import signal
import time

from tasks.background import Loop

VARIABLE = "SENTIQ_PARENT"
"""Holds the launcher's pid; set by the launcher, absent when a process was started by something else."""
_POLL_S = 0.5
_GRACE_S = 8.0


def follow_parent() -> Loop | None:
    """Starts a watch on the parent, if there is one. When it is gone: SIGTERM to this process, so that it drains; after
    a while, the hard way.
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
