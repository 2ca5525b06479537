"""`locks/*.txt`: what `make run` installs, each file by its digest."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))


def plain(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: Path) -> dict[str, tuple[str, str]]:
    """Version and all that follows it, of each distribution in a lock."""
    found = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)[1:]
    parts = [re.fullmatch(r"([\w.-]+)==(\S+)(.*)", entry, re.DOTALL) for entry in found]
    assert all(parts), lock
    return {plain(part[1]): (part[2], part[3]) for part in parts if part is not None}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_versions_and_digests(lock: Path) -> None:
    """A lock has the versions of constraints.txt, digests of every file, and names no index. `make locks` mends it."""
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pins = {plain(name): version for name, version in pins.items()}
    for name, (version, rest) in entries(lock).items():
        elsewhere = (
            "sys_platform" in rest or "python_full_version" in rest
        )  # not installed where constraints.txt is made
        assert pins.get(name, version if elsewhere else None) == version, name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", rest), name
    assert "://" not in lock.read_text()
    assert "--index" not in lock.read_text()


def test_all_of_the_service_is_locked() -> None:
    """Each requirement of the service is in its lock, and what builds Sentiq; uv has a lock of its own."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*table["project"]["dependencies"], *table["project"]["optional-dependencies"]["server"]]
    wanted += table["build-system"]["requires"]
    names = {plain(re.match(r"[\w.-]+", line)[0]) for line in wanted}  # type: ignore[index]
    assert names <= entries(ROOT / "locks" / "server.txt").keys()
    assert entries(ROOT / "locks" / "uv.txt").keys() == {"uv"}


def test_another_file_is_not_installed(tmp_path: Path) -> None:
    """`make run` installs nothing whose digest is not the one in the lock, and says so."""
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "uv.txt").write_text((ROOT / "locks" / "uv.txt").read_text())
    (locks / "server.txt").write_text(f"blinker==1.9.0 --hash=sha256:{'0' * 64}\n")
    venv = tmp_path / "venv"
    made = subprocess.run(
        ["make", f"LOCKS={locks}", f"VENV={venv}", f"PYTHON={sys.executable}", f"{venv}/.run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode != 0
    assert "could not be installed" in made.stdout, made.stdout + made.stderr
    assert "DO NOT MATCH THE HASHES" in made.stderr, made.stderr
    assert not list(venv.glob("lib/python*/site-packages/blinker*"))
    assert not (venv / ".run").exists()
