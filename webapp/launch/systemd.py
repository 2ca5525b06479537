"""Messages to a service manager that started the launcher with `Type=notify`."""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "NOTIFY_SOCKET"


def tell(state: str) -> None:
    """Sends `READY=1` or `STOPPING=1`, as sd_notify(3) defines them; without such a manager it does nothing."""
    address = os.environ.get(VARIABLE, "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
