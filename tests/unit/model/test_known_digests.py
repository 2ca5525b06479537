"""Digests of large files are remembered, and only as long as the file is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from model import known_digests
from model.digests import sha256
from model.known_digests import KnownDigests

SIZE = 1 << 24


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A large file of the least size."""
    path = tmp_path / "weights"
    path.write_bytes(bytes(SIZE))
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    found: list[Path] = []

    def reading(path: Path) -> str:
        found.append(path)
        return sha256(path)

    monkeypatch.setattr(known_digests, "sha256", reading)
    return found


def later(folder: Path) -> KnownDigests:
    """What is known in a folder, a minute after all that happened until now."""
    return KnownDigests(folder, clock=lambda: time.time() + 60)


def test_read_once(weights: Path, read: list[Path], tmp_path: Path) -> None:
    """A large file is read once, by whichever process; a small one each time."""
    for _ in range(2):
        assert later(tmp_path / "known").of(weights) == sha256(weights)
    assert read == [weights]
    small = tmp_path / "config.json"
    small.write_text("{}")
    for _ in range(2):
        assert later(tmp_path / "known").of(small) == sha256(small)
    assert read == [weights, small, small]
    assert [path.name for path in (tmp_path / "known").iterdir()] == ["digests.json"]


def _same_size_and_time(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _another_file(path: Path) -> None:
    before = path.stat()
    other = path.with_suffix(".new")
    other.write_bytes(b"y" + bytes(SIZE - 1))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)


def _longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"z")


@pytest.mark.parametrize("change", [_same_size_and_time, _another_file, _longer])
def test_changed(change: Callable[[Path], None], weights: Path, read: list[Path], tmp_path: Path) -> None:
    """A file that has changed is read again, even if its size and the time of its change were made the same."""
    known = later(tmp_path)
    before = known.of(weights)
    change(weights)
    assert known.of(weights) == sha256(weights) != before
    assert len(read) == 2


def test_just_changed(weights: Path, read: list[Path], tmp_path: Path) -> None:
    """A file that has changed a moment ago is not remembered: it may change again within the same tick of the clock."""
    os.utime(weights)
    known = KnownDigests(tmp_path)
    assert known.of(weights) == known.of(weights)
    assert len(read) == 2


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": 1', '{"x": 3}'])
def test_damaged(content: str, weights: Path, read: list[Path], tmp_path: Path) -> None:
    """If what was remembered is damaged, the file is read, and remembered."""
    (tmp_path / "digests.json").write_text(content)
    for _ in range(2):
        assert later(tmp_path).of(weights) == sha256(weights)
    assert len(read) == 1


def test_folder_that_cannot_be_written(weights: Path, read: list[Path], tmp_path: Path) -> None:
    """Where nothing can be remembered, the file is read each time."""
    (tmp_path / "file").write_text("")
    known = later(tmp_path / "file" / "folder")
    assert known.of(weights) == known.of(weights) == sha256(weights)
    assert len(read) == 2
