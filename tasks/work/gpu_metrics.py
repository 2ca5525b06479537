"""Metrics of a worker's GPU, read from NVIDIA's library (`nvidia-ml-py`) at each scrape if that is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class GpuMetrics(Collector):
    """A collector for the one GPU of this process, without what the GPU does not report (a MIG slice: its use)."""

    def __init__(self, nvml: ModuleType, handle: object) -> None:
        self._nvml = nvml
        self._handle = handle

    def describe(self) -> Iterator[Metric]:
        """The metrics without samples."""
        yield from _families().values()

    def collect(self) -> Iterator[Metric]:
        """The metrics with their present values."""
        found = _families()

        def add(name: str, read: Callable[[], float]) -> None:
            try:
                found[name].add_metric([], read())
            except self._nvml.NVMLError:
                pass

        add("used", lambda: self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
        add("total", lambda: self._nvml.nvmlDeviceGetMemoryInfo(self._handle).total)
        add("busy", lambda: self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100)
        yield from found.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "used": GaugeMetricFamily(
            "sentiment_gpu_memory_used_bytes", "Memory of the worker's GPU that any process uses."
        ),
        "total": GaugeMetricFamily("sentiment_gpu_memory_bytes", "Memory of the worker's GPU."),
        "busy": GaugeMetricFamily(
            "sentiment_gpu_busy_ratio", "Share of the last second or less in which the worker's GPU was at work."
        ),
    }


def gpu_metrics(device: str) -> GpuMetrics | None:
    """The collector for an engine's device; None without a GPU or without NVIDIA's library.

    NVIDIA's library numbers GPUs in the order of the bus. If a machine has different cards, set
    CUDA_DEVICE_ORDER=PCI_BUS_ID so that CUDA numbers them in the same way.
    """
    if not device.startswith("cuda"):
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0] or "0"
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        by_number = visible.isdigit()
        return GpuMetrics(
            nvml,
            nvml.nvmlDeviceGetHandleByIndex(int(visible)) if by_number else nvml.nvmlDeviceGetHandleByUUID(visible),
        )
    except nvml.NVMLError:
        return None
