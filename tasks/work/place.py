"""Where a worker runs: its GPU, and its place among the machine's processes. Both are settled before any library is
loaded.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def pin_device(device: str) -> str:
    """Hides all GPUs but the wanted one, before torch is imported: one process, one GPU.

    Returns:
        The device as the engine is to name it: the one that is left is `cuda:0`.
    """
    if not device.startswith("cuda:"):
        return device
    os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    return "cuda:0"


def lower_priority(niceness: int) -> None:
    """Lets others have the processor first."""
    if not niceness:
        return
    os.nice(niceness)
    # Linux weighs niceness within a session only, and each process of the launcher has one of its own: that must be
    # told too.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
