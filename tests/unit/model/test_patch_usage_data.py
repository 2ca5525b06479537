"""The patch `model.patches.usage_data`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patches import mended
from tests.support.stack import ROOT

_WATCHED = """
import sys

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.sendto"):
        print(event, flush=True)
        raise OSError("nothing may leave")

sys.addaudithook(watch)
{code}
"""


def attempts_to_send(code: str, home: Path) -> list[str]:
    """The calls by which code would have sent something until its process ended; each of them fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}  # without `CI`, in which OpenVINO sends nothing
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED.format(code=code)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.split()


def test_library_sends_usage_data(tmp_path: Path) -> None:
    """Without the patch, OpenVINO tries to send usage data when it is imported."""
    if not attempts_to_send("import openvino", tmp_path):
        mended("OpenVINO", "model/patches/usage_data.py", "its import and its call in model/__init__.py")


@pytest.mark.parametrize(
    "code",
    [
        "import model, openvino",
        "from model.engines.registry import load_engine\nload_engine('default', device='cpu').warm()",
    ],
)
def test_nothing_leaves(tmp_path: Path, code: str) -> None:
    """With the patch, OpenVINO sends nothing and leaves no id in the user's home, nor does the engine that uses it."""
    assert attempts_to_send(code, tmp_path) == []
    assert not (tmp_path / "intel").exists()
