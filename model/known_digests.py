"""Digests of large files that were read once: at the next start a file that has not changed since is not read again."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from model.digests import sha256

_FILE = "digests.json"
_LARGE_BYTES = 1 << 24
"""Smaller files are read: that takes no longer than asking."""
_SETTLED_S = 2.0
"""A file that changed within so many seconds before it was read may change again without a new time."""
_MOST = 1000
"""When more are known, all are forgotten."""


class KnownDigests:
    """The digests of files, in a file of a folder.

    A file is known by its path, size, inode, and the times of its last change: that of its content, which anyone may
    set, and that which the kernel sets.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Nothing is read yet; the folder need not exist, nor be one that can be written."""
        self._path = folder / _FILE
        self._clock = clock

    def of(self, file: Path) -> str:
        """The SHA-256 digest of a file, as `sha256` gives it."""
        before = os.stat(file)
        if before.st_size < _LARGE_BYTES:
            return sha256(file)
        mark = _mark(file, before)
        known = self._read()
        if isinstance(digest := known.get(mark), str):
            return digest
        now = self._clock()
        digest = sha256(file)
        if _mark(file, os.stat(file)) == mark and max(before.st_mtime, before.st_ctime) < now - _SETTLED_S:
            self._write({**(known if len(known) < _MOST else {}), mark: digest})
        return digest

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError):  # there is none, or it is damaged
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: dict[str, object]) -> None:
        with suppress(OSError):  # then the file is read again next time
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, suffix=".part", delete=False) as part:
                try:
                    json.dump(known, part)
                    part.close()
                    os.replace(part.name, self._path)
                except OSError:
                    os.unlink(part.name)


def _mark(file: Path, stat: os.stat_result) -> str:
    found = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    return " ".join([*map(str, found), str(file.absolute())])
