"""Sets a worker's GPU, before any library is loaded, and its priority."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def pin_device(device: str) -> str:
    """Hides all GPUs but the given one, before torch is imported: one process uses one GPU.

    Returns:
        The name of the device for the engine: the only visible GPU is `cuda:0`.
    """
    if not device.startswith("cuda:"):
        return device
    os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    return "cuda:0"


def lower_priority(niceness: int) -> None:
    """Lowers the priority of this process and all its threads, so that others have the processor first."""
    if not niceness:
        return
    try:
        threads = [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    except OSError:  # elsewhere niceness belongs to the process
        threads = [0]
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    # Linux weighs niceness only within a session, and the launcher gives each process its own: the session's niceness
    # has to be set, too.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
