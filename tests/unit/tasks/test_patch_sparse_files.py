"""`tasks.patches.sparse_files`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disks import small_disk
from tests.support.patches import mended
from tests.support.stack import ROOT

_PROCESS = """
import os, sys
from pathlib import Path
from tests.support.disks import fill
from tests.support.waiting import wait_until

patched, full_from = sys.argv[1] == "patched", sys.argv[2]
if patched:
    from tasks.patches import sparse_files
    sparse_files.install()

from prometheus_client import Counter
from webapp.api.patches.half_written import Processes

folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
series = Counter("seen_total", "Seen.", ["number"])
counted = 0

def count():
    global counted
    for number in range(3000):
        series.labels(str(number)).inc()
    counted += 1

def told():
    return [sample.value for metric in Processes(folder).collect() for sample in metric.samples]

if full_from == "later":
    series.labels("0")
try:
    fill(folder / "filler")
except OSError:
    pass
count()
print("alive")
(folder / "filler").unlink()

def all_told():
    count()
    return told() == [counted] * 3000

wait_until(all_told, what="every count to be on the page in full")
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


def _run(disk: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(disk), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", _PROCESS, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_library_is_ended(disk: Path) -> None:
    """Without the patch, the kernel ends a process that counts while the disk of its metrics is full."""
    done = _run(disk, "plain", "first")
    if done.returncode != -signal.SIGBUS:
        mended("prometheus_client", "tasks/patches/sparse_files.py (tasks/metrics.py installs it)")


@pytest.mark.parametrize("full_from", ["first", "later"])
def test_process_lives_on(disk: Path, full_from: str) -> None:
    """While the disk is full, whether from the start or when the file has to grow, the process says so once and counts
    on; when there is room again, all that it has counted is on the page.
    """
    done = _run(disk, "patched", full_from)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
    assert done.stderr.count("no room for metrics (No space left on device)") == 1
    assert "Traceback" not in done.stderr


def test_next_process_of_a_pid_counts_on(tmp_path: Path) -> None:
    """A process that has the pid of a dead one goes on with its counts, as without the patch."""
    count = "; ".join(
        [
            "from tasks.patches import sparse_files",
            "sparse_files.install()",
            "from prometheus_client.values import MultiProcessValue",
            "value = MultiProcessValue(lambda: 7)('counter', 'seen', 'seen_total', (), (), 'Seen.')",
            "value.inc(2)",
            "print(value.get())",
        ]
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    counted = [
        subprocess.run(
            [sys.executable, "-c", count], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert counted == ["2.0\n", "4.0\n"]
