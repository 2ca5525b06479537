"""Tells the two meanings of SIGHUP apart: somebody asks for an upgrade, or the terminal was closed."""

from __future__ import annotations

import os
import signal


class Terminal:
    """The terminal in which the launcher was started, if that was in one."""

    def __init__(self) -> None:
        # `nohup` ignores the signal: then the end of the terminal is not to be the end of the service.
        self._counts = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _is_there()

    @property
    def closed(self) -> bool:
        """Whether there was one that is gone now."""
        return self._counts and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
