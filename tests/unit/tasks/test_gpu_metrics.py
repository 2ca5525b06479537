"""GPU metrics, with a stand-in for NVIDIA's library that behaves as documented, and without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from tasks.work.gpu_metrics import gpu_metrics


class _Error(Exception):
    pass


def _nvml(**changes: Callable[..., object]) -> ModuleType:
    """A stand-in for NVIDIA's library that finds the GPUs 0 to 3 and `GPU-7f`."""
    nvml = ModuleType("pynvml")

    def by_index(number: int) -> str:
        if number > 3:
            raise _Error
        return f"gpu {number}"

    parts = {
        "NVMLError": _Error,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetHandleByUUID": {"GPU-7f": "gpu 7f"}.__getitem__,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=len(handle) * 1000, total=80_000),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=25),
    }
    for name, part in (parts | changes).items():
        setattr(nvml, name, part)
    return nvml


def _raise(*_: object) -> None:
    raise _Error


def _value(name: str) -> float | None:
    registry = CollectorRegistry()
    found = gpu_metrics("cuda:0")
    assert found is not None
    registry.register(found)
    return registry.get_sample_value(f"sentiment_gpu_{name}")


@pytest.mark.parametrize(("visible", "used"), [("2", 5000), ("2,3", 5000), ("GPU-7f", 6000), (None, 5000)])
def test_the_gpu_that_the_worker_sees(monkeypatch: pytest.MonkeyPatch, visible: str | None, used: float) -> None:
    """Memory and use are those of the GPU in CUDA_VISIBLE_DEVICES, by number or name, or else of the first GPU."""
    monkeypatch.setitem(sys.modules, "pynvml", _nvml())
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert (_value("memory_used_bytes"), _value("memory_bytes"), _value("busy_ratio")) == (used, 80_000, 0.25)


def test_what_a_gpu_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a slice of a GPU, which does not report its use, there is memory only."""
    monkeypatch.setitem(sys.modules, "pynvml", _nvml(nvmlDeviceGetUtilizationRates=_raise))
    assert _value("busy_ratio") is None
    assert _value("memory_bytes") == 80_000


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_without_a_gpu_or_its_library(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """On a CPU, without NVIDIA's library or driver, or with a wrong number, there are no metrics and no error."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9")
    for nvml in (None, _nvml(nvmlInit=_raise), _nvml()):
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        assert gpu_metrics(device) is None
