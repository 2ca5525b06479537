"""The API keys that are valid now: those of API_KEYS, and those of API_KEYS_FILE as it is at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import structlog

from tasks.keys import ApiKey

_LOOK_S = 1.0
"""Seconds between looks at the file."""
_TELL_S = 60.0
"""Seconds after which the log says again that the file cannot be used."""
_SAME_TICK_NS = 2_000_000_000
"""A file that was changed so lately may change again without a change of its times; it is read again."""
_Stamp = tuple[int, int, int]

_log = structlog.get_logger(__name__)


class ApiKeys(Mapping[str, ApiKey]):
    """The keys by digest. A file that cannot be read, or is no file of keys, changes nothing: also the keys that it no
    longer has stay valid. The log says so every minute until it is mended.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, ApiKey]],
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the keys.

        Args:
            read: reads all keys. Raises ValueError or OSError if that is not possible.
            file: the file that they depend on; None if they never change.
            clock: the time in seconds.
        """
        self._read = read
        self._file = file
        self._clock = clock
        self._stamp = self._stamp_of(file) if file is not None else None
        self._keys = read()
        self._look_at = clock() + _LOOK_S
        self._fault, self._told_at = "", 0.0

    def __getitem__(self, digest: str) -> ApiKey:
        return self._now()[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> Mapping[str, ApiKey]:
        if self._file is not None and self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK_S
            self._look(self._file)
        return self._keys

    def _look(self, file: Path) -> None:
        try:
            stamp = self._stamp_of(file)
            if stamp is not None and stamp == self._stamp and not self._fault:
                return
            keys = self._read()
        except OSError as error:
            self._keep(f"cannot be read ({error.strerror})")
        except UnicodeDecodeError:
            self._keep("cannot be read (it is not UTF-8)")
        except ValueError as error:
            self._keep(str(error))
        else:
            mended, self._stamp, self._fault = bool(self._fault), stamp, ""
            if mended or keys != self._keys:
                self._keys = keys
                _log.info("API_KEYS_FILE was read again: %d keys are valid now", len(keys))

    def _keep(self, fault: str) -> None:
        now = self._clock()
        if fault != self._fault or now >= self._told_at + _TELL_S:
            self._fault, self._told_at = fault, now
            _log.warning("API_KEYS_FILE %s; until it is mended, the keys stay as they were, also removed ones", fault)

    @staticmethod
    def _stamp_of(file: Path) -> _Stamp | None:
        found = file.stat()
        if time.time_ns() - found.st_mtime_ns < _SAME_TICK_NS:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
