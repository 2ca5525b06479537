"""Sets a worker's GPU and its priority, both before any library is loaded."""

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
    """Lowers the process's priority by `niceness`, so that others have the processor first."""
    if not niceness:
        return
    os.nice(niceness)
    # Linux weighs niceness only within a session, and the launcher gives each process its own: the session's niceness
    # has to be set, too.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
