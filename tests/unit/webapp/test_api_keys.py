"""API_KEYS_FILE while the service runs: when it is looked at, what is taken, and what is not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tasks.keys import Scope, digest
from tasks.settings import Settings
from webapp.front.api_keys import ApiKeys

ANN, BOB, OPS = digest("ann's key"), digest("bob's key"), digest("ops' key")
LONG_AGO = 1_000_000_000


class Clock:
    """A clock that tests set."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock at 0."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with Ann's key, written long ago."""
    path = tmp_path / "keys"
    write(path, f"ann:predict:{ANN}")
    return path


def write(path: Path, content: str, changed_at: int = LONG_AGO) -> None:
    """Writes a file that was changed at a time, in Unix seconds."""
    path.write_text(content)
    os.utime(path, (changed_at, changed_at))


def keys_of(file: Path, clock: Clock) -> ApiKeys:
    """The keys of a service with Ops' key in API_KEYS, and those of the file."""
    settings = Settings(redis_url="unix:///nowhere", api_keys=f"ops:admin:{OPS}", api_keys_file=file)  # type: ignore[arg-type]
    return ApiKeys(lambda: settings.keys, file, clock)


def test_a_changed_file_is_read(file: Path, clock: Clock) -> None:
    """A second after the file has changed, a new key is valid, one that was removed is not, and scopes are the new
    ones; those of API_KEYS stay. Before, nothing has changed: the file is not looked at for each request.
    """
    keys = keys_of(file, clock)
    assert set(keys) == {ANN, OPS}
    write(file, f"ann:predict+jobs:{ANN} bob:predict:{BOB}", LONG_AGO + 1)
    clock.now_s = 0.9
    assert set(keys) == {ANN, OPS}
    clock.now_s = 1.1
    assert set(keys) == {ANN, BOB, OPS}
    assert keys[ANN].may([Scope.JOBS])
    write(file, f"bob:predict:{BOB}", LONG_AGO + 2)
    clock.now_s = 2.2
    assert keys.get(ANN) is None
    assert (len(keys), OPS in keys) == (2, True)


def test_a_file_put_in_its_place_is_read(file: Path, clock: Clock, tmp_path: Path) -> None:
    """A file that takes the place of the old one counts even with the same size and times, as a copy may keep them."""
    keys = keys_of(file, clock)
    write(tmp_path / "next", f"bob:predict:{BOB}")
    (tmp_path / "next").replace(file)
    clock.now_s = 1.1
    assert set(keys) == {BOB, OPS}


def test_two_changes_within_a_tick(file: Path, clock: Clock) -> None:
    """A change that leaves size and time as they were, as it came right after another one, is not missed."""
    soon = int(time.time()) + 3600  # however long the test takes, it is not long ago
    write(file, f"ann:predict:{ANN}", soon)
    keys = keys_of(file, clock)
    write(file, f"bob:predict:{BOB}", soon)
    clock.now_s = 1.1
    assert set(keys) == {BOB, OPS}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("gone", "cannot be read (No such file or directory)"),
        ("empty", "contains no key"),
        ("a comment", "contains no key"),
        ("cut off", "entry 2 is not NAME:SCOPES:DIGEST"),
        ("binary", "cannot be read (it is not UTF-8)"),
    ],
)
def test_a_bad_file_changes_nothing(file: Path, clock: Clock, fault: str, told: str) -> None:
    """A file that is away or no file of keys leaves the keys as they were; the log says so at once and every minute,
    without an entry. Once the file is good again, it counts, and the log says that, too, even if it is as before.
    """
    keys = keys_of(file, clock)
    content = {"empty": b"", "a comment": b"# none\n", "binary": b"\xff\xfe\xff"}
    if fault == "gone":
        file.unlink()
    else:
        file.write_bytes(content.get(fault, f"ann:predict:{ANN}\nbob:predict:{BOB[:40]}".encode()))
    with capture_logs() as lines:
        for second in range(1, 6):
            clock.now_s = second * 1.1
            assert set(keys) == {ANN, OPS}
        assert len(lines) == 1
        clock.now_s = 62.0
        assert set(keys) == {ANN, OPS}
    assert len(lines) == 2
    for line in lines:
        assert (line["log_level"], told in str(line)) == ("warning", True)
        assert BOB[:40] not in str(line)
    with capture_logs() as lines:
        write(file, f"ann:predict:{ANN}")
        clock.now_s += 1.1
        assert set(keys) == {ANN, OPS}
    assert [line["log_level"] for line in lines] == ["info"]
    with capture_logs() as lines:
        write(file, f"bob:jobs:{BOB}")
        clock.now_s += 1.1
        assert set(keys) == {BOB, OPS}
    assert [line["log_level"] for line in lines] == ["info"]


def test_without_a_file_nothing_is_looked_at(clock: Clock) -> None:
    """Where there is no file, the keys are read once."""
    reads = []
    keys = ApiKeys(lambda: reads.append(1) or {}, None, clock)  # type: ignore[func-returns-value]
    for clock.now_s in range(0, 100, 10):
        assert (bool(keys), len(reads)) == (False, 1)
