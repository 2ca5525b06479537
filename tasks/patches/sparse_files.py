"""Keeps a process alive whose metrics' file finds no room.

prometheus_client 0.26.0 makes the files of its multi-process mode as long as they shall be without taking room for
them, and writes to them by way of memory: if there is no room then, the kernel ends the process by SIGBUS. Here the
room is taken first, by writing zeros. While there is none, values stay in the process; each is written, in full, when
it changes after there is room again.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import time
from typing import Any

import prometheus_client.values
from prometheus_client import mmap_dict

_library: Any = mmap_dict

_LENGTH = 1 << 16
"""Bytes of a new file, as the library has it."""
_AROUND_KEY = 32
"""Bytes that a value takes beside its key, at the most."""
_AGAIN_S = 1.0
"""Seconds before room is asked for again."""
_TELL_EVERY_S = 60.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_log = logging.getLogger(__name__)


class RoomyDict(_library.MmapedDict):  # type: ignore[misc]
    """The values of one file of this process."""

    _told_at = -_TELL_EVERY_S

    def __init__(self, filename: str) -> None:
        self._fname = filename
        self._f: Any = None
        self._m: Any = None
        self._positions: dict[str, int] = {}
        self._capacity = self._used = 0
        self._again_at = 0.0

    def read_value(self, key: str) -> tuple[float, float]:
        """The value with which a series begins: not 0 if an earlier process had the same pid."""
        position = self._place(key)
        return (0.0, 0.0) if position is None else _library._unpack_two_doubles(self._m, position)

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Writes a value, if there is room for it."""
        position = self._positions.get(key)
        if position is None and (position := self._place(key)) is None:
            return
        _library._pack_two_doubles(self._m, position, value, timestamp)

    def _place(self, key: str) -> int | None:
        """The position of a value, which is made if there is room for it."""
        if key not in self._positions:
            if time.monotonic() < self._again_at:
                return None
            try:
                self._make_room(0)  # the file may have the value
                if key not in self._positions:
                    self._make_room(len(key.encode()) + _AROUND_KEY)
                    self._init_value(key)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._again_at = time.monotonic() + _AGAIN_S
                self._tell(error)
                return None
        return self._positions[key]

    def _make_room(self, length: int) -> None:
        """Makes the file, and makes it long enough for so many bytes more."""
        if self._f is None:
            self._f = open(self._fname, "a+b", buffering=0)  # noqa: SIM115 - `close` closes it
        if self._capacity and self._used + length <= self._capacity:
            return
        wanted = max(_LENGTH, 2 * self._capacity)
        try:
            # Written, not only reserved: so it is the same on every file system, and on macOS.
            while (missing := wanted - os.fstat(self._f.fileno()).st_size) > 0:
                self._f.write(b"\0" * min(missing, _LENGTH))
        except OSError:
            self._f.truncate(self._capacity)
            raise
        self._m = mmap.mmap(self._f.fileno(), 0)
        self._capacity = len(self._m)
        if self._used == 0:
            self._used = max(8, _library._unpack_integer(self._m, 0)[0])
            _library._pack_integer(self._m, 0, self._used)
            self._positions = {key: position for key, _, _, position in self._read_all_values()}

    @classmethod
    def _tell(cls, error: OSError) -> None:
        if time.monotonic() - cls._told_at > _TELL_EVERY_S:
            cls._told_at = time.monotonic()
            _log.error("no room for metrics (%s); they go on when there is", error.strerror)

    def close(self) -> None:
        """Closes the file."""
        if self._f is not None:
            self._f.close()
            self._f = None
        if self._m is not None:
            self._m.close()
            self._m = None


def install() -> None:
    """Installs the patch, for metrics that are made afterwards."""
    prometheus_client.values.MmapedDict = RoomyDict  # type: ignore[attr-defined, assignment]
