"""`webapp.api.patches.half_written`."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.support.patches import mended
from webapp.api.patches.half_written import Processes

_COUNT = "from prometheus_client import Counter; Counter('seen_total', 'Seen.').inc(2)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the file of a process that has counted, and that of one that has only just created it."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _COUNT], env=environment, check=True, timeout=60)
    assert list(tmp_path.glob("*.db"))
    (tmp_path / "counter_1.db").touch()
    return tmp_path


def test_library_fails(folder: Path) -> None:
    """Without the patch, an empty file makes the whole page fail."""
    collector = MultiProcessCollector(CollectorRegistry(), str(folder))  # type: ignore[no-untyped-call]
    try:
        list(collector.collect())  # type: ignore[no-untyped-call]
    except struct.error:
        return
    mended(
        "prometheus_client",
        "webapp/api/patches/half_written.py (webapp/api/metrics.py makes a MultiProcessCollector again)",
    )


def test_what_is_there_is_told(folder: Path) -> None:
    """With the patch, the page has what the other processes have counted."""
    (metric,) = Processes(folder).collect()
    assert (metric.name, [sample.value for sample in metric.samples]) == ("seen", [2])
