"""Between the launcher and the processes that it starts. No orphans: a process ends when the launcher is gone, however
it went.
"""

from __future__ import annotations

import os
import signal
import threading
import time

VARIABLE = "SENTIQ_PARENT"
"""Holds the launcher's pid; set by the launcher, absent when a process was started by something else."""
EX_CONFIG = 78
"""The exit status (sysexits.h) by which a process tells the launcher that starting it again will not help."""
_POLL_S = 0.5
_GRACE_S = 8.0


def follow_parent() -> None:
    """Starts a watch on the parent. When it is gone: SIGTERM to this process, so that it drains; after a while, the
    hard way.
    """
    parent = os.environ.get(VARIABLE)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()
