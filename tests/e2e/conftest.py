"""Fixtures of the end-to-end and the fault tests: Sentiq started as its user starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.launched import Folders, Launched


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty DATA_DIR."""
    folders = Folders()
    yield folders.make()
    folders.remove()


@pytest.fixture
def launch(folder: Path) -> Iterator[Callable[..., Launched]]:
    """Starts Sentiq on the test's folder; whatever is left of it afterwards is ended."""
    started: list[Launched] = []

    def start(**arguments: object) -> Launched:
        started.append(Launched(folder, **arguments))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.close()
