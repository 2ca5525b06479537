"""Keeps what Sentiq writes from the other users of a machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tasks.errors import SettingsRefused

_OTHERS = 0o077
"""The rights of all users but the owner."""


def keep_private() -> None:
    """From now on, whatever this process and its children make is for this user alone."""
    os.umask(_OTHERS)


def close_to_others(folder: Path) -> None:
    """Takes the rights of other users away from a folder of ours and from the files in it, which an earlier version
    may have made readable. What belongs to another user is left as it is.
    """
    for path in (folder, *folder.rglob("*")):
        found = path.lstat()
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS and not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def require_own(folder: Path) -> None:
    """Refuses a folder in a place where every user may make one, if it is not this user's alone. One that is not there
    is fine.

    Raises:
        SettingsRefused: another user owns it, or may enter it.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        raise SettingsRefused(
            f"{folder} is not a folder that belongs to this user alone (owner {found.st_uid}, mode"
            f" {stat.S_IMODE(found.st_mode):04o}), so others could read along; remove it, or choose another DATA_DIR"
        )


def make_own(folder: Path) -> None:
    """Makes a folder for this user alone, in a place where every user may make one.

    Raises:
        SettingsRefused: see `require_own`.
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    require_own(folder)
