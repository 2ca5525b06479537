"""What a worker does before it takes chunks: its GPU, its priority, its parts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from model.engines.stub import StubEngine
from tasks.models import DEFAULT
from tasks.queue.app import TASK
from tasks.settings import Settings
from tasks.work.compose import compose, warm_engine
from tasks.work.place import pin_device
from tasks.work.roles import BATCH, INTERACTIVE, Role
from tests.support.stack import ROOT


@pytest.mark.parametrize(
    ("device", "named", "visible"), [("cuda:3", "cuda:0", "3"), ("cuda", "cuda", None), ("cpu", "cpu", None)]
)
def test_one_gpu_is_seen(monkeypatch: pytest.MonkeyPatch, device: str, named: str, visible: str | None) -> None:
    """A worker with a given GPU sees only that one, and names it as the first."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert pin_device(device) == named
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


_NICE = """
import os
from pathlib import Path
from tasks.work.place import lower_priority
from tasks.work.roles import ROLES
os.setsid()
before = os.nice(0)
lower_priority(ROLES["{role}"].niceness)
group = Path("/proc/self/autogroup")
print(os.nice(0) - before, group.read_text().split()[-1] if group.exists() else "{group}")
"""


@pytest.mark.parametrize(("role", "niceness"), [("interactive", 0), ("batch", 19)])
def test_jobs_are_nice(role: str, niceness: int) -> None:
    """The batch worker and its session have the lowest priority for the processor."""
    if os.nice(0):
        pytest.skip("these tests are nice themselves")
    done = subprocess.run(
        [sys.executable, "-c", _NICE.format(role=role, group=niceness)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [str(niceness), str(niceness)]


@pytest.mark.parametrize(("role", "rate", "spent"), [(INTERACTIVE, 1000, 500), (INTERACTIVE, 1, 1), (BATCH, 1000, 1)])
def test_cost_together(role: Role, rate: float, spent: int) -> None:
    """Callers' texts for half a second are scored in one call; a job's chunk has its own call."""
    assert role.cost_together(rate) == spent


def test_engine_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's engine has run every input shape before the worker is put together, so that no caller waits for it."""
    warmed: list[StubEngine] = []
    monkeypatch.setattr(StubEngine, "warm", lambda self: warmed.append(self))
    settings = Settings(redis_url="unix:///nowhere/valkey.sock", model_name="stub")
    assert warmed == [warm_engine(settings, INTERACTIVE, settings.served[DEFAULT], "cpu")]


@pytest.mark.parametrize("role", [INTERACTIVE, BATCH], ids=lambda role: role.name)
def test_parts_are_made_without_redis(role: Role) -> None:
    """A worker can be put together while Redis is away: it waits for Redis when it runs."""
    settings = Settings(redis_url="unix:///nowhere/valkey.sock", model_name="stub")
    model = settings.served[DEFAULT]
    worker = compose(settings, role, model, warm_engine(settings, role, model, "cpu"))
    assert TASK in worker._app.tasks
