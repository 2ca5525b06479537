"""The patch `tasks.queue.patches.silent_signals`."""

from __future__ import annotations

import subprocess
import sys

from tests.support.patches import mended
from tests.support.stack import ROOT

_SIGTERM = """
import os, signal
from types import SimpleNamespace
from celery.apps import worker
{install}
worker.install_worker_term_handler(SimpleNamespace(hostname="w"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def _written(install: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _SIGTERM.format(install=install)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def test_library_writes_past_the_log() -> None:
    """Without the patch, Celery writes a line of its own on SIGTERM."""
    if "Warm shutdown" not in _written(""):
        mended(
            "Celery",
            "tasks/queue/patches/silent_signals.py",
            "its import and its call in tasks/work/serving.py",
        )


def test_nothing_is_written() -> None:
    """With the patch, only the log says that the worker stops."""
    assert _written("from tasks.queue.patches import silent_signals; silent_signals.install()") == ""
