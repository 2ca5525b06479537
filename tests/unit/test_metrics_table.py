"""The table of metrics in docs/metrics.md agrees with the code."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from prometheus_client import REGISTRY, Metric

from tasks import metrics
from tasks.settings import Settings
from tasks.work.gpu_metrics import GpuMetrics
from webapp.compose import queue_metrics

ROOT = Path(__file__).resolve().parents[2]
Row = tuple[str, ...]


def _row(family: Metric, labels: tuple[str, ...], where: str) -> Row:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return (f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation, where)


def of_the_code() -> set[Row]:
    """Name, type, labels, meaning and place of each of Sentiq's metrics."""
    rows = set()
    for where, group in (("web", metrics.WEB), ("worker", metrics.WORKER)):
        rows |= {_row(next(iter(metric.describe())), tuple(metric._labelnames), where) for metric in group}
    for where, collector in (
        ("web", queue_metrics(Settings(redis_url="unix:///nowhere.sock"))),
        ("worker", GpuMetrics(ModuleType("nvml"), None)),
    ):
        rows |= {_row(family, tuple(family._labelnames), where) for family in collector.describe()}  # type: ignore[attr-defined]
    return rows


def of_the_table() -> list[Row]:
    """The rows of the document."""
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    return [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines if line.startswith("| `sentiment_")]


def test_table_is_the_codes() -> None:
    """The document has one row for each metric, with its type, its labels, its help text, and the process that serves
    it.
    """
    table = of_the_table()
    assert len(table) == len(set(table))
    assert set(table) == of_the_code()


def test_every_metric_is_served() -> None:
    """Each metric that is declared anywhere is among those that the web or the workers serve."""
    declared = {collector for name, collector in REGISTRY._names_to_collectors.items() if name.startswith("sentiment_")}
    assert declared == {*metrics.WEB, *metrics.WORKER}
