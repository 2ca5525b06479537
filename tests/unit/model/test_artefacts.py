"""Compiled models on disk: whole or not at all, made by one process at a time, the least used removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model.artefacts import SEAL, Artefact, Artefacts
from model.description import Description, Trial
from model.digests import MANIFEST, Manifest, Usage, read_manifest, sha256
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

TRIAL = Trial("int8", True, "", 400, 0.995, 0.01, 0.004, 0.0, 9.8)


@pytest.fixture
def store(tmp_path: Path) -> Artefacts:
    """A folder for compiled models with room for 100,000 bytes."""
    return Artefacts(tmp_path / "compiled", 100_000)


def made(store: Artefacts, key: str, size: int = 10) -> None:
    """Makes a model whose graph has this size."""
    with store.alone(lambda: None), store.part() as part:
        (part / "graph.bin").write_bytes(b"x" * size)
        description = Description("int8", ("a", "b"), ("POSITIVE", "NEGATIVE"), max_tokens=128, trials=(TRIAL,))
        Manifest(128, {"graph.bin": sha256(part / "graph.bin")}, Usage(logits=True), description).write(part)
        store.publish(part, key)


def found(store: Artefacts, key: str) -> Artefact:
    """The model, which is there."""
    artefact = store.find(key)
    assert artefact is not None
    return artefact


def folders(tmp_path: Path) -> set[str]:
    """What is in the folder, but the lock."""
    return {path.name for path in (tmp_path / "compiled").iterdir()} - {"lock"}


def test_what_was_made_is_found(store: Artefacts) -> None:
    """A model is found under its key, with its manifest as it was written and a digest; under others there is none."""
    assert store.find("one") is None
    made(store, "one")
    artefact = found(store, "one")
    assert artefact.manifest == read_manifest(artefact.folder)
    assert artefact.manifest.usage == Usage(logits=True)
    assert artefact.manifest.description is not None
    assert artefact.manifest.description.trials == (TRIAL,)
    assert len(artefact.digest) == 12
    assert store.find("two") is None


def test_digest_follows_the_use(store: Artefacts, tmp_path: Path) -> None:
    """Two graphs of the same bytes that are used otherwise, by another temperature for one, have different digests."""
    made(store, "one")
    first = found(store, "one")
    digests = {first.digest}
    for usage in (Usage(logits=True, temperature=1.5), Usage(logits=True, matrix=((1.0, 0.0), (0.0, 1.0)))):
        manifest = Manifest(128, first.manifest.sha256, usage, first.manifest.description)
        digests.add(manifest.verified(first.folder, manifest.sha256))
    assert len(digests) == 3


def test_for_this_user_alone(tmp_path: Path) -> None:
    """Folders and files are this user's alone, where the process says so for all that it makes, as workers do."""
    before = os.umask(0o077)
    try:
        made(Artefacts(tmp_path / "compiled", 100_000), "one")
    finally:
        os.umask(before)
    for path in (tmp_path / "compiled", *(tmp_path / "compiled").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("file", ["graph.bin", MANIFEST, SEAL])
@pytest.mark.parametrize("how", ["a bit", "shorter", "gone"])
def test_damage_is_found(store: Artefacts, caplog: pytest.LogCaptureFixture, file: str, how: str) -> None:
    """A model of which any file has one bit changed, lost its end or is gone is not there, and the log says so; it can
    be made anew.
    """
    made(store, "one")
    path = found(store, "one").folder / file
    whole = path.read_bytes()
    path.unlink()
    if how != "gone":
        middle = len(whole) // 2
        path.write_bytes(
            whole[:-3] if how == "shorter" else whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        )
    assert store.find("one") is None
    assert ("damaged" in caplog.text) is not (file == SEAL and how == "gone")
    made(store, "one")
    assert found(store, "one")


def test_least_used_go(store: Artefacts, tmp_path: Path) -> None:
    """Beyond the limit, models go in the order of their last use; the one just made stays even if it is too large."""
    for number, key in enumerate(("a", "b", "c")):
        made(store, key, 40_000)
        os.utime(tmp_path / "compiled" / key / SEAL, (number, number))
    assert store.find("a") is not None  # used once more: b is the oldest now
    with store.alone(lambda: None):
        store.prune(keep="c")
        assert folders(tmp_path) == {"a", "c"}
    made(store, "huge", 500_000)
    with store.alone(lambda: None):
        store.prune(keep="huge")
    assert folders(tmp_path) == {"huge"}


def test_what_is_used_stays(store: Artefacts, tmp_path: Path) -> None:
    """A model that a process has loaded is not removed, however long ago that was, until the process has ended."""
    made(store, "old", 90_000)
    code = (
        "import sys; from pathlib import Path; from model.artefacts import Artefacts;"
        " held = Artefacts(Path(sys.argv[1]), 1).find('old'); print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "compiled")]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"held\n"
        os.utime(tmp_path / "compiled" / "old" / SEAL, (1, 1))
        made(store, "new", 90_000)
        with store.alone(lambda: None):
            store.prune(keep="new")
        assert folders(tmp_path) == {"old", "new"}
        user.kill()
    with store.alone(lambda: None):
        store.prune(keep="new")
    assert folders(tmp_path) == {"new"}


def test_the_dead_leave_nothing(store: Artefacts, tmp_path: Path) -> None:
    """What a killed process had begun is not found, and is removed by the next that makes one."""
    code = (
        "import os, signal, sys; from pathlib import Path; from model.artefacts import Artefacts\n"
        "store = Artefacts(Path(sys.argv[1]), 1)\n"
        "with store.alone(lambda: None), store.part() as part:\n"
        "    (part / 'graph.bin').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "compiled")], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert [name for name in folders(tmp_path) if name.endswith(".part")]
    made(store, "one")
    assert folders(tmp_path) == {"one"}


def test_one_at_a_time(store: Artefacts) -> None:
    """A second maker says that it waits, and begins when the first has ended; one that does not wait is told."""
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with store.alone(waits.set):
            order.append("second")

    with store.alone(lambda: None) as free:
        assert free
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(waits.is_set, what="the second to wait")
        with store.alone() as also_free:
            assert not also_free
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_latest_of_several_tools(store: Artefacts, tmp_path: Path) -> None:
    """Of models of one source that different versions of the tools have made, the one used last is taken."""
    assert store.any_of("source") is None
    for number, key in enumerate(("source-a", "source-b", "other-c")):
        made(store, key)
        os.utime(tmp_path / "compiled" / key / SEAL, (number, number))
    assert store.any_of("source") == "source-b"


def test_a_disk_that_cannot_be_written(store: Artefacts, tmp_path: Path) -> None:
    """Without a folder, nothing is found; where none can be made, that is an error."""
    assert store.find("one") is None
    (tmp_path / "compiled").write_text("a file in its place")
    assert store.find("one") is None
    with pytest.raises(OSError), store.alone(lambda: None):
        pass
