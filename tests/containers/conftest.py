"""The stack for all tests of this folder, and the times of its steps."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from tests.containers.engine import only_one
from tests.containers.images import bases, find_python
from tests.containers.stack import TIMES, ComposeStack
from tests.support.disks import root_only


def _wanted() -> None:
    """Skips where an engine cannot be made; in CI, fails."""
    refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    if sys.platform != "linux":
        pytest.skip("name spaces are Linux's")
    root_only("make an engine in name spaces of its own")
    for program in ("mmdebstrap", "slirp4netns"):
        if shutil.which(program) is None:
            refuse(f"needs Debian's package {program}: apt-get install {program}")
    for version in bases():
        if find_python(version) is None:
            refuse(f"needs a Python {version} in a folder of its own, such as pyenv's: pyenv install {version}")


@pytest.fixture(scope="session")
def stack() -> Iterator[ComposeStack]:
    """Compose's stack, which runs. A test leaves it running."""
    _wanted()
    with only_one() as folder:
        made = ComposeStack(folder)
        try:
            made.make()
            yield made
        finally:
            made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows the steps of the run with their times."""
    if TIMES:
        terminalreporter.section("containers")
    for took_s, name in TIMES:
        terminalreporter.write_line(f"{took_s:6.1f} s  {name}" if took_s else f"          {name}")
