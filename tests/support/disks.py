"""Small disks that can be filled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def root_only(why: str) -> None:
    """Skips the test unless the user is root; in CI, fails it."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"only root may {why}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of this size (`64m`) on a folder, which is made if needed, during the block; needs root and Linux."""
    if sys.platform != "linux":
        pytest.skip("tmpfs is Linux's")
    root_only("mount a disk")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes a file until the disk is full.

    Raises:
        OSError: the disk is full.
    """
    with path.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
