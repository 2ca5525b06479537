"""Compiled models on disk: each is there whole or not at all, one process at a time makes one, and the least used go.

    FOLDER/
    ├── lock            held by the process that makes a model or removes one
    ├── KEY/            a compiled model: `model.engines.compiled.GRAPH_FILES`, `manifest.json`
    │   └── seal        the manifest's digest; its time is that of the last use, and who uses the model has it locked
    └── *.part/         one that is being made, or whose maker died

The kernel gives up a dead process's locks, so nothing waits for one.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from model.digests import MANIFEST, Manifest, read_manifest, sha256
from model.errors import ModelError, ModelRefused

SEAL = "seal"
_LOCK = "lock"
_PART = ".part"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled model; it is not removed as long as this object lives."""

    folder: Path
    manifest: Manifest
    digest: str
    """Of its files and of how they are used."""
    held: IO[str]


class Artefacts:
    """The compiled models in a folder."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Nothing is read or made yet.

        Args:
            folder: where they are.
            max_bytes: when there are more, the least recently used are removed.
        """
        self._folder = folder
        self._max_bytes = max_bytes

    def find(self, key: str) -> Artefact | None:
        """The model that was compiled under this key; None if there is none, or a damaged one, which the log says.

        From now on it counts as used.
        """
        folder = self._folder / key
        try:
            held = (folder / SEAL).open()
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # not there, or being removed
            return None
        with contextlib.suppress(OSError):  # on a disk that can only be read, nothing is removed either
            os.utime(folder / SEAL)
        try:
            if sha256(folder / MANIFEST) != held.read():
                raise ModelRefused(f"{MANIFEST} has changed")
            manifest = read_manifest(folder)
            return Artefact(folder, manifest, manifest.verified(folder, manifest.sha256), held)
        except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
            _log.warning("the compiled model in %s is damaged: %s", folder, error)
            return None

    def any_of(self, prefix: str) -> str | None:
        """The most recently used key that begins with this."""
        found = sorted((self._used_at(path), path.name) for path in self._all() if path.name.startswith(prefix))
        return found[-1][1] if found else None

    @contextmanager
    def alone(self, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
        """Keeps other processes from making or removing models during the block, and removes what dead ones left.

        Args:
            waiting: is called before this process waits for another; None does not wait, and the block gets False.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is None:
                    yield False
                    return
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self._folder.glob(f"*{_PART}"):
                shutil.rmtree(left, ignore_errors=True)
            yield True

    @contextmanager
    def part(self) -> Iterator[Path]:
        """A new folder, in which a model is made; what is still there after the block is removed."""
        folder = Path(tempfile.mkdtemp(suffix=_PART, dir=self._folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, part: Path, key: str) -> None:
        """Seals what is in a folder that `part` gave, and puts it in its place; the caller is `alone`.

        Raises:
            OSError: it cannot be written.
        """
        (part / SEAL).write_text(sha256(part / MANIFEST))
        if (self._folder / key).exists():  # a damaged one
            self.remove(key)
        os.rename(part, self._folder / key)

    def remove(self, key: str) -> None:
        """Removes a model; the caller is `alone`. Whoever has loaded it keeps it."""
        with self.part() as part:
            os.rename(self._folder / key, part / key)

    def prune(self, keep: str) -> None:
        """Removes the least recently used models beyond the limit; the caller is `alone`.

        None that a process uses is removed, nor that of the key `keep`.
        """
        models = sorted(self._all(), key=self._used_at)
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in models}
        total = sum(sizes.values())
        for path in models:
            if total <= self._max_bytes:
                return
            if path.name != keep and self._unused(path):
                self.remove(path.name)
                total -= sizes[path]

    def _all(self) -> list[Path]:
        return [path.parent for path in self._folder.glob(f"*/{SEAL}") if path.parent.suffix != _PART]

    def _used_at(self, folder: Path) -> float:
        return (folder / SEAL).stat().st_mtime

    def _unused(self, folder: Path) -> bool:
        with (folder / SEAL).open() as seal:
            try:
                fcntl.flock(seal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True
