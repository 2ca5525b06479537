"""Rules of the tests themselves: tests that need a Debian package do not skip in CI, leaked keys are found, waits name
their fact.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.keys import keys_without_end
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_missing_package(tmp_path: Path, ci: str, outcome: str) -> None:
    """A test whose Debian package is not installed skips on a laptop and fails in CI, and names the package."""
    test = tmp_path / "test_it.py"
    test.write_text("import pytest\n@pytest.mark.debian('no-such-package')\ndef test_it():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = debian(package): x\n")
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-rsE", "-p", "tests.conftest", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome in done.stdout
    assert "no-such-package" in done.stdout
    assert (done.returncode == 0) == (ci == "")


def test_leaked_key_is_found(server: Stack) -> None:
    """A Redis key without a TTL is named; keys with a TTL and those of the queues are not."""
    server.redis.set("leaked", "x")
    server.redis.set("ends", "x", ex=10)
    server.redis.rpush("interactive", "x")
    server.redis.rpush("batch\x06\x163", "x")
    server.redis.sadd("_kombu.binding.batch", "x")
    assert keys_without_end(server.redis) == ["leaked"]
    server.redis.delete("leaked")


def test_wait_names_the_fact() -> None:
    """If a fact does not come true in time, the error names it."""
    with pytest.raises(AssertionError, match="in vain for the moon"):
        wait_until(lambda: False, what="the moon", timeout_s=0.01)
