"""What Sentiq writes is for its own user alone, and folders that somebody else may have made are not trusted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.errors import SettingsRefused
from tasks.private import close_to_others, make_own, require_own
from tasks.settings import load_settings
from tests.support.launched import Folders
from webapp.server import metrics_folder


def mode(path: Path) -> int:
    """The rights of a file or folder."""
    return stat.S_IMODE(path.lstat().st_mode)


def test_close_to_others(tmp_path: Path) -> None:
    """A folder that was open is closed with all that is in it; the owner's rights stay, and links are not followed."""
    outside = tmp_path / "outside"
    outside.touch(0o644)
    folder = tmp_path / "data"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "file").touch(0o644)
    (folder / "link").symlink_to(outside)
    for path in (folder, folder / "in", folder / "in" / "file", outside):
        path.chmod(0o755)
    close_to_others(folder)
    assert {mode(path) for path in (folder, folder / "in", folder / "in" / "file")} == {0o700}
    assert mode(outside) == 0o755


def _open(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def _linked(folder: Path) -> None:
    target = folder.with_name("target")
    target.mkdir(0o700)
    folder.symlink_to(target)


def _foreign(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder away")
    folder.mkdir(0o700)
    os.chown(folder, 65534, 65534)


def _file(folder: Path) -> None:
    folder.touch(0o600)


TAKEN: list[Callable[[Path], None]] = [_open, _linked, _foreign, _file]


@pytest.mark.parametrize("take", TAKEN)
def test_own_folder(tmp_path: Path, take: Callable[[Path], None]) -> None:
    """A folder in a public place is made for this user alone; one that another may enter or own, a link and a file are
    refused by name.
    """
    fine = tmp_path / "fine"
    require_own(fine)
    for _ in range(2):
        make_own(fine)
    assert mode(fine) == 0o700
    taken = tmp_path / "taken"
    take(taken)
    with pytest.raises(SettingsRefused, match=f"{taken} is not a folder that belongs to this user alone"):
        require_own(taken)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the socket of a DATA_DIR whose path is too long for one; it is not there."""
    folders = Folders()
    monkeypatch.setenv("DATA_DIR", str(folders.make() / ("a" * 120)))
    monkeypatch.delenv("REDIS_URL", raising=False)
    socket = load_settings().socket_path.parent
    yield socket
    folders.remove()
    if socket.is_symlink() or socket.is_file():
        socket.unlink()
    shutil.rmtree(socket, ignore_errors=True)


@pytest.mark.parametrize("take", [_open, _foreign])
def test_socket_folder_of_another_user(far: Path, take: Callable[[Path], None]) -> None:
    """If another user has made the folder of the embedded server's socket, nothing starts and nothing connects: they
    could pose as the server.
    """
    load_settings()
    take(far)
    with pytest.raises(SettingsRefused, match="belongs to this user alone"):
        load_settings()
    for program in (
        "tasks.worker interactive",
        "webapp.client.cli serve",
        "webapp.server -c python:webapp.server.gunicorn_conf webapp.wsgi:app",
    ):
        done = subprocess.run([sys.executable, "-m", *program.split()], capture_output=True, text=True, timeout=60)
        assert done.returncode == 78
        assert done.stderr.startswith(f"Sentiq cannot start: {far} is not a folder"), done.stderr
        assert "Traceback" not in done.stderr


def test_metrics_folder(tmp_path: Path) -> None:
    """Metrics of an earlier start are gone; the folder is for this user alone; at the end nothing is left in memory."""
    folder = metrics_folder.metrics_folder(tmp_path)
    for _ in range(2):
        metrics_folder.empty(folder)
        assert list(folder.iterdir()) == []
        assert {mode(folder), mode(folder.parent)} == {0o700}
        (folder / "counter_1.db").touch()
    if Path("/dev/shm").is_dir():
        assert folder.is_relative_to("/dev/shm")
        metrics_folder.remove(folder)
        assert not folder.parent.exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no folder in memory")
def test_metrics_folder_taken(tmp_path: Path) -> None:
    """If somebody has taken the place in memory, metrics are in DATA_DIR instead, and the place is left alone."""
    own = metrics_folder.metrics_folder(tmp_path).parent
    own.chmod(0o777)
    try:
        folder = metrics_folder.metrics_folder(tmp_path)
        assert folder == tmp_path / "metrics"
        metrics_folder.empty(folder)
        metrics_folder.remove(folder)
        assert own.exists()
        assert folder.exists()
    finally:
        own.rmdir()
