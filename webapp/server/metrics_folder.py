"""Where the processes of one host leave their metrics for the web's page."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tasks.errors import SettingsRefused
from tasks.private import make_own

_MEMORY = Path("/dev/shm")  # nosec B108
"""Every user may write there: `tasks.private` sees to it that the folder in it is ours."""


def metrics_folder(data_dir: Path) -> Path:
    """The folder; it need not be there.

    It is in memory where the system has a place for that: a disk that is full ends whoever writes to a mapped file on
    it (SIGBUS), on some file systems even where the file has its place. Without such a place it is in DATA_DIR.
    """
    digest = hashlib.sha256(bytes(data_dir.absolute())).hexdigest()[:16]
    own = _MEMORY / f"sentiq-{os.geteuid()}-{digest}"
    try:
        make_own(own)
    except (OSError, SettingsRefused):  # there is no such place, or somebody has taken the name
        return data_dir.absolute() / "metrics"
    return own / "metrics"


def empty(folder: Path) -> None:
    """Makes the folder, without the metrics of processes of an earlier start."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def remove(folder: Path) -> None:
    """Removes the folder at the end if it is one of ours in memory, where nothing shall be left."""
    own = folder.parent
    if own.parent == _MEMORY and own.name.startswith("sentiq-"):
        shutil.rmtree(own, ignore_errors=True)
