"""`sentiq backup` and `sentiq restore`: what they keep, what they refuse, and that a refusal changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.stack import Stack


def sentiq(*words: str | Path, exit: int = 0, **variables: str | Path) -> str:
    """Runs the command; returns what it prints, or its one line of complaint."""
    clean = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATA_DIR")}
    done = subprocess.run(
        [sys.executable, "-m", "webapp.client.cli", *map(str, words)],
        env=clean | {name: str(value) for name, value in variables.items()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    told = done.stderr.decode()
    assert done.returncode == exit, told
    if exit:
        assert told.count("\n") == 1, told
        return told
    return done.stdout.decode("latin-1")


def test_all_is_there(server: Stack, tmp_path: Path, make_stack: Callable[..., Stack]) -> None:
    """A restored server has each key with its value and its end; on standard output the backup is the same."""
    for number in range(300):
        server.redis.set(f"text {number}", os.urandom(20_000), ex=1000)
    server.redis.zadd("sorted", {"a": 1.5, "b": 2})
    server.redis.expireat("sorted", 4_000_000_000)
    file = tmp_path / "backup"
    assert "bytes" in sentiq("backup", file, REDIS_URL=server.url)
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o777 == 0o600
    assert sentiq("backup", "-", REDIS_URL=server.url).startswith("REDIS")
    other = make_stack()
    assert "301 keys" in sentiq("restore", file, "--into", other.folder / "valkey")
    other.start_server()
    for key in server.redis.keys("*"):
        assert other.redis.dump(key) == server.redis.dump(key)
        assert other.redis.expiretime(key) == server.redis.expiretime(key)
    assert other.redis.dbsize() == 301


def test_what_is_refused(server: Stack, tmp_path: Path) -> None:
    """A file that is damaged, or no backup, replaces nothing; nor does a good one without --replace, or one that lies
    among the data. A server that refuses, or is not there, leaves no file. What is no file is not replaced by one; of a
    link, the file that it leads to is.
    """
    server.redis.set("a", os.urandom(5000), ex=1000)
    good, folder = tmp_path / "good", tmp_path / "data"
    sentiq("backup", good, REDIS_URL=server.url)
    sentiq("restore", good, "--into", folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    damaged, other = tmp_path / "damaged", tmp_path / "other"
    damaged.write_bytes(good.read_bytes()[:-2000])
    other.write_text("something else\n")
    (base,) = folder.rglob("*.rdb")
    for file, said in (
        (damaged, "is damaged"),
        (other, "is not a backup"),
        (tmp_path / "none", "cannot be read (No such file or directory)"),
        (base, "move it elsewhere first"),
    ):
        assert said in sentiq("restore", file, "--into", folder, "--replace", exit=1)
    assert "has data" in sentiq("restore", good, "--into", folder, exit=1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert "--into FOLDER" in sentiq("restore", good, REDIS_URL=server.url, exit=1)
    server.redis.acl_setuser("few", enabled=True, passwords=["+abc"], categories=["+@read", "+@connection"], keys=["*"])
    missing = tmp_path / "missing"
    user = server.url.replace("unix://", "unix://few:abc@")
    assert "the server refuses REPLCONF: NOPERM" in sentiq("backup", missing, REDIS_URL=user, exit=1)
    assert "does not answer" in sentiq("backup", missing, REDIS_URL="redis://127.0.0.1:1", exit=1)
    assert "no Sentiq runs on" in sentiq("backup", missing, DATA_DIR=tmp_path / "empty", exit=1)
    assert "cannot be written" in sentiq("backup", tmp_path / "no" / "folder", REDIS_URL=server.url, exit=1)
    assert not list(tmp_path.glob("*missing*"))
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "linked")
    os.mkfifo(pipe)
    sentiq("backup", link, REDIS_URL=server.url)
    assert link.is_symlink()
    assert (tmp_path / "linked").stat().st_size > 5000
    assert "is not a file" in sentiq("backup", pipe, REDIS_URL=server.url, exit=1)
    assert pipe.is_fifo()
    server.redis.acl_deluser("few")
