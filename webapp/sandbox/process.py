"""The web process's side of the sandbox."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import orjson

from tasks.errors import StorageFull, TooManyFiles
from webapp.reading.refusals import UploadRefused
from webapp.sandbox.messages import BATCH_BYTES, VARIABLE

_AT_ONCE = 8
"""The most files that one web process has in the sandbox: each may take as much disk as an upload may have bytes."""
_REPORTS_AT_ONCE = 4
"""The most reports that one web process has made at a time; each takes a processor."""
_LARGE_ROWS = 100_000
"""Reports of more rows, which take up to 300 MB, are made one at a time."""
_ROOT = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LANG", "LC_ALL", "SYSTEMROOT")
"""What of the environment the process gets: no key and no password."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_log = logging.getLogger(__name__)


class Sandbox:
    """Reads and writes files in processes of their own; a web process has one."""

    def __init__(self, folder: Path, *, max_bytes: int, max_line_bytes: int, wait_s: int = 60) -> None:
        """Makes a sandbox; nothing is started yet.

        Args:
            folder: where files are kept while they are needed; made for this user alone.
            max_bytes: the most bytes that a file may have when it is unpacked.
            max_line_bytes: the most bytes in a row of a table.
            wait_s: how many seconds a file waits for those before it.
        """
        self._wait_s = wait_s
        self._folder, self._max_bytes, self._max_line_bytes = folder, max_bytes, max_line_bytes
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._reports = threading.BoundedSemaphore(_REPORTS_AT_ONCE)

    def unpack(self, pieces: Iterable[bytes], **asked: object) -> tuple[dict[str, Any], Iterator[Any]]:
        """What is in a zip file, a spreadsheet or Parquet: its head, then rows (lists) or pieces (bytes).

        Args:
            pieces: the file.
            asked: see `webapp.sandbox.sheets`.

        Raises:
            UploadRefused, StorageFull, TooManyFiles: here, or while the contents are iterated.
        """
        contents = self._contents(pieces, asked)
        return next(contents), contents

    def _contents(self, pieces: Iterable[bytes], asked: dict[str, object]) -> Iterator[Any]:
        with self._place(), self._file() as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            file.seek(0)
            limits = {"max_bytes": self._max_bytes, "max_line_bytes": self._max_line_bytes}
            turn = str(self._folder / "turn")
            process = self._start(
                {**asked, **limits, "turn": turn, "wait_s": self._wait_s, "writes": False}, file, subprocess.PIPE
            )
            try:
                assert process.stdout is not None
                yield from _messages(process.stdout, 8 * self._max_line_bytes + 2 * BATCH_BYTES)
                process.wait()
            except _Ended:
                raise _why(process.wait()) from None
            finally:
                process.kill()
                if process.stdout is not None:
                    process.stdout.close()

    def workbook(self, rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
        """A spreadsheet of these rows, the header first, in pieces. It is whole before this returns: what goes wrong is
        raised here.
        """
        pieces = self._workbook(rows)
        return chain([next(pieces)], pieces)

    def _workbook(self, rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
        with self._place(), self._file() as file, TemporaryDirectory(dir=self._folder) as folder:
            process = self._start({"writes": True, "folder": folder}, subprocess.PIPE, file)
            assert process.stdin is not None
            try:
                with suppress(BrokenPipeError):  # its status says more
                    for batch in _batches(rows):
                        process.stdin.write(batch)
                    process.stdin.close()
                status = process.wait()
            finally:
                process.kill()
            if status != 0:
                raise RuntimeError(f"the process that writes a spreadsheet ended with status {status}")
            file.seek(0)
            while piece := file.read(BATCH_BYTES):
                yield piece

    def report(self, rows: Iterable[Sequence[object]], asked: dict[str, object], total: int) -> Iterator[bytes]:
        """A report of these rows, in pieces. It is whole before this returns: what goes wrong is raised here.

        Args:
            rows: see `webapp.report.lines`.
            asked: see `webapp.report.asked`.
            total: how many rows there are. Large reports are made one at a time.

        Raises:
            UploadRefused: a column cannot be read as what it was asked for, or these are too many rows.
            TooManyFiles: too many reports are being made.
        """
        pieces = self._report(rows, asked, total)
        return chain([next(pieces)], pieces)

    def _report(self, rows: Iterable[Sequence[object]], asked: dict[str, object], total: int) -> Iterator[bytes]:
        with self._place(self._reports):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            turn = str(self._folder / "report-turn") if total > _LARGE_ROWS else None
            process = self._start(
                {"report": asked, "turn": turn, "wait_s": self._wait_s}, subprocess.PIPE, subprocess.PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with suppress(BrokenPipeError):  # it has refused something before the last row, and says so
                    for batch in _batches(rows):
                        process.stdin.write(batch)
                    process.stdin.close()
                yield from _messages(process.stdout, 2 * BATCH_BYTES)
                process.wait()
            except _Ended:
                status = process.wait()
                if -status in (signal.SIGXCPU, signal.SIGKILL):
                    detail = "It takes too long to make a report of so many lines."
                    raise UploadRefused(413, "request_entity_too_large", detail) from None
                raise RuntimeError(f"the process that makes a report ended with status {status}") from None
            finally:
                process.kill()
                with suppress(BrokenPipeError):
                    process.stdin.close()
                process.stdout.close()

    @contextmanager
    def _place(self, places: threading.Semaphore | None = None) -> Iterator[None]:
        places = places or self._places
        if not places.acquire(blocking=False):
            raise TooManyFiles
        try:
            yield
        finally:
            places.release()

    @contextmanager
    def _file(self) -> Iterator[IO[bytes]]:
        """A file without a name, which nobody else can open and which ends with its last user."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with TemporaryFile(dir=self._folder) as file:
                yield file
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StorageFull from error
            raise

    def _start(
        self, asked: dict[str, object], stdin: int | IO[bytes], stdout: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if Path(sysconfig.get_path("purelib")).resolve() != _ROOT:  # else Python finds it, after its own modules
            passed_on["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "webapp.sandbox"],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            env=passed_on | {VARIABLE: orjson.dumps(asked).decode()},
            cwd="/",
        )


def _batches(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Rows as JSON, one to a line, many at once; others have turns between."""
    batch = bytearray()
    for row in rows:
        batch += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        if len(batch) >= BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
            time.sleep(0)
    yield bytes(batch)


class _Ended(Exception):
    """The process ended before all was said."""


def _messages(out: IO[bytes], longest: int) -> Iterator[Any]:
    """What the process says: the head, then each row or piece."""
    while True:
        line = out.readline(longest)
        if not line.endswith(b"\n"):
            raise _Ended
        message = orjson.loads(line)
        if "rows" in message:
            yield from map(tuple, message["rows"])
        elif "piece" in message:
            yield out.read(message["piece"])
        elif "head" in message:
            yield message["head"]
        elif "refused" in message:
            raise UploadRefused(*message["refused"])
        elif "busy" in message:
            raise TooManyFiles
        else:
            return


def _why(status: int) -> Exception:
    """The error for a file whose process ended with this status."""
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return UploadRefused(413, "request_entity_too_large", "It takes too long to read this file; send it as CSV.")
    if -status in (signal.SIGABRT, signal.SIGSEGV):
        # A parser that gets no more memory ends its process.
        detail = "It takes too much memory to read this file; send it as CSV."
        return UploadRefused(413, "request_entity_too_large", detail)
    _log.error("a process that reads a file ended with status %d", status)
    return UploadRefused(422, "unreadable_file", "The file is damaged, or of a kind that is not read.")
