"""The embedded server: it runs for real, with safe defaults."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

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
