"""Backups of a Redis server: taken over the wire as a replica takes them, and laid where a server finds its data.

A backup is an RDB file, a picture of the server at one moment. A server with an append-only file reads no RDB file,
but its append-only file may begin with one (its base), so that is what a restored folder has.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import IO, Any

import redis

from tasks.store.connections import connect
from tasks.store.embedded import WRITER, ServerNotFound, start_server, wait_until_up

_FOLDER = "appendonlydir"
_BASE = "appendonly.aof.1.base.rdb"
_MANIFEST = f"file {_BASE} seq 1 type b\n"
_BEGINNINGS = b"REDIS", b"VALKEY"
_SILENCE_S = 60.0
"""A server that makes a picture of itself sends a sign of life every ten seconds."""
_PIECE_BYTES = 1 << 20


class BackupFailed(Exception):
    """The message says why, for whoever runs the command."""


def fetch(url: str, into: IO[bytes]) -> int:
    """Writes a picture of all that the server of this URL holds; returns its bytes. The server goes on meanwhile, and
    needs room in its memory for what changes, none on its disk.

    Raises:
        BackupFailed: the server refuses, or the connection ended before the end.
        redis.RedisError: it cannot be reached.
    """
    client: Any = connect(url, timeout_s=5.0)
    connection: Any = client.connection_pool.get_connection()
    try:
        sock = connection._sock  # redis-py has no public way to what comes after SYNC, which is no reply
        sock.settimeout(_SILENCE_S)
        with sock.makefile("rwb") as stream:
            # With this, it is sent as it is made, instead of from a file of the server's.
            _ask(stream, b"REPLCONF capa eof")
            size = copied(stream, _ask(stream, b"SYNC"), into)
            _let_it_finish(client)
            return size
    except OSError as error:
        raise BackupFailed(f"the connection ended before the backup was complete ({error})") from None
    finally:
        with suppress(redis.RedisError, OSError):
            connection.disconnect()
        client.close()


def _ask(stream: IO[bytes], command: bytes) -> bytes:
    stream.write(command + b"\r\n")
    stream.flush()
    while (line := stream.readline()) == b"\n":
        pass  # a sign of life
    if not line.endswith(b"\r\n"):
        raise BackupFailed("the server has closed the connection")
    if line.startswith(b"-"):
        raise BackupFailed(
            f"the server refuses {command.split()[0].decode()}: {line[1:].strip().decode(errors='replace')}"
        )
    return line.strip()


def copied(stream: IO[bytes], header: bytes, into: IO[bytes]) -> int:
    """Copies what follows the reply to SYNC: of a length, or up to a mark."""
    size = 0
    if not header.startswith(b"$EOF:"):
        length = int(header[1:])
        while size < length and (piece := stream.read(min(_PIECE_BYTES, length - size))):
            size += into.write(piece)
        if size < length:
            raise BackupFailed("the connection ended before the backup was complete")
        return size
    mark, rest = header[5:], b""
    while piece := stream.read1(_PIECE_BYTES):  # type: ignore[attr-defined]
        rest += piece
        if rest.endswith(mark):
            return size + into.write(rest[: -len(mark)])
        size += into.write(rest[: -len(mark)])
        rest = rest[-len(mark) :]
    raise BackupFailed("the connection ended before the backup was complete")


def _let_it_finish(client: Any) -> None:
    """Waits until the server's child process has ended, which it would have to kill otherwise."""
    until = time.monotonic() + 5
    with suppress(redis.RedisError):
        while client.info("persistence")["rdb_bgsave_in_progress"] and time.monotonic() < until:
            time.sleep(0.02)


def keys_in(backup: Path) -> int:
    """The number of keys in a backup, which a server of its own reads to its end.

    Raises:
        BackupFailed: it is no backup, is damaged, or the server here is too old for it.
    """
    try:
        with backup.open("rb") as file:
            if not file.read(10).startswith(_BEGINNINGS):
                raise BackupFailed(f"{backup} is not a backup of a Redis server")
    except OSError as error:
        raise BackupFailed(f"{backup} cannot be read ({error.strerror})") from None
    with tempfile.TemporaryDirectory(prefix="sentiq-") as name, _reading(backup.resolve(), Path(name)) as url:
        client: Any = connect(url, timeout_s=5.0)
        try:
            return sum(database["keys"] for database in client.info("keyspace").values())
        finally:
            client.close()


@contextmanager
def _reading(backup: Path, folder: Path) -> Iterator[str]:
    """A server that has read a backup, while the block runs."""
    data, socket = folder / "valkey", folder / "valkey.sock"
    (data / _FOLDER).mkdir(parents=True)
    (data / _FOLDER / _BASE).symlink_to(backup)
    (data / _FOLDER / f"{_BASE.partition('.1.')[0]}.manifest").write_text(_MANIFEST)
    with (folder / "log").open("wb") as log:
        process: Popen[bytes] | None = None
        try:
            process = start_server(data, socket, output=log)
            url = f"unix://{socket}?db=0"
            # As for the launcher: a large file takes a while.
            wait_until_up(url, timeout_s=600, process=process)
            yield url
        except ServerNotFound as error:
            raise BackupFailed(str(error).replace(f"The data in {data}", f"The data in {backup}")) from None
        except redis.RedisError:
            raise BackupFailed(f"{backup} is damaged: a server cannot read it to its end") from None
        finally:
            if process is not None:
                process.kill()
                with suppress(TimeoutExpired):
                    process.wait(10)


def has_data(folder: Path) -> bool:
    """Whether a server has its data in this folder."""
    return (folder / _FOLDER).exists()


def lay(backup: Path, folder: Path) -> None:
    """Makes a backup the data of the server whose folder this is, in place of those that it has; it must not run.

    Raises:
        BackupFailed: it is among the data that it would replace.
        OSError: the folder cannot be written, or has no room.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    data, new = folder / _FOLDER, folder / f"{_FOLDER}.new"
    if backup.resolve().is_relative_to(data.resolve()):
        raise BackupFailed(f"{backup} is in the folder that it would replace; move it elsewhere first")
    shutil.rmtree(new, ignore_errors=True)
    if data.exists() and shutil.disk_usage(folder).free < backup.stat().st_size:
        shutil.rmtree(data)  # on a disk that is full of them
    new.mkdir(mode=0o700)
    shutil.copyfile(backup, new / _BASE)
    (new / f"{_BASE.partition('.1.')[0]}.manifest").write_text(_MANIFEST)
    owner = folder.stat()
    for path in (new, *new.iterdir()):
        _flush(path)
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)
    shutil.rmtree(data, ignore_errors=True)
    (folder / WRITER).unlink(missing_ok=True)  # it says who wrote the data that were there; an RDB file says it itself
    new.rename(data)
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
