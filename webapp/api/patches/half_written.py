"""Reads the metrics of all processes even when one of them has only just started.

prometheus_client 0.26.0's `MultiProcessCollector.collect`, and with it the whole page, fails on a file that a process
has created and not yet written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


class Processes(Collector):
    """Collects what all processes that share a folder have counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        files = [file.path for file in os.scandir(self._folder) if file.name.endswith(".db") and _has_begun(file)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged


def _has_begun(file: os.DirEntry[str]) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # the file of a process that has died, deleted meanwhile
        return False
