"""The limits of a sandboxed process. What is beyond them ends it, in native code too."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from contextlib import suppress

from tasks.errors import TooManyFiles

MEMORY_BYTES = 512 * 1024 * 1024
"""A table of 100,000 rows needs a tenth of it."""
_ADDRESSES_BYTES = 4 * MEMORY_BYTES
CPU_S = 60
REPORT_CPU_S = 300
"""A report of a million lines takes about a tenth of it."""
_NICENESS = 5


def confine(*, writes: bool, cpu_s: int = CPU_S) -> None:
    """Limits this process: its memory, its processor time, its rank, and whether it may write files."""
    os.nice(_NICENESS)
    for what, most in (
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_AS, _ADDRESSES_BYTES),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
        *(() if writes else ((resource.RLIMIT_FSIZE, 0),)),
    ):
        with suppress(ValueError, OSError):  # macOS knows no limits of memory; a container may have lower ones already
            resource.setrlimit(what, (most, most))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # if memory runs out all the same, this process ends, not one that serves


def take_turn(path: str, wait_s: int) -> None:
    """Waits until no other process of this service parses a file: together they might need too much memory. The turn
    ends with the process.

    Args:
        path: the file that is locked.
        wait_s: for how many seconds.

    Raises:
        TooManyFiles: it took too long.
    """

    def give_up(*_: object) -> None:
        raise TooManyFiles

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(wait_s)
    turn = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(turn, fcntl.LOCK_EX)
    signal.alarm(0)
