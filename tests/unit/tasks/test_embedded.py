"""The embedded server: it runs for real, with safe defaults."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.store.embedded import MEMORY_SHARE, memory_limit
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
