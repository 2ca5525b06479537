"""Draws the dashboards' main panels from the data of a Prometheus: `python -m monitoring.picture docs/monitoring.svg
--minutes 10`.

The queries, units and lines are the panels' own. Needs matplotlib (extra `test`).
"""

from __future__ import annotations

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib as mpl

from monitoring.panels import SERVICE, WORKERS, Panel

mpl.use("svg")
import matplotlib.pyplot as plt  # after the choice of a backend

_COLUMNS = 3
_POINTS = 240
_FACTORS = {
    "s": (1e3, "ms"),
    "percentunit": (1e2, "%"),
    "bytes": (1e-6, "MB"),
    "reqps": (1.0, "requests/s"),
    "ops": (1.0, "/s"),
    "short": (1.0, ""),
}
MAIN = (
    "Requests by rule and status",
    "Latency of /predict",
    "Known and fresh",
    "Cache hits",
    "Late answers: budget burnt",
    "Jobs",
    "Oldest chunk",
    "Chunks held by workers",
    "Queue wait",
    "Texts scored",
    "Engine at work",
    "Texts in a call and in a micro-batch",
    "Padding",
    "Memory of workers",
    "Commands",
)


def _ask(address: str, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
    form = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}/api/v1/query_range", form, timeout=60) as response:
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return found


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), pattern).strip()


def _unit(panel: Panel) -> tuple[float, str]:
    if panel.unit.startswith("suffix:"):
        return 1.0, panel.unit.removeprefix("suffix:").strip()
    return _FACTORS[panel.unit]


def _draw(axes: Any, panel: Panel, address: str, start: float, end: float) -> None:
    step = (end - start) / _POINTS
    factor, unit = _unit(panel)
    lines: list[tuple[str, str, dict[float, float]]] = []
    for expression, pattern in panel.queries:
        for one in _ask(address, expression.replace("$__rate_interval", "30s"), start, end, step):
            points = {float(at): float(value) for at, value in one["values"] if value not in ("NaN", "+Inf")}
            lines.append((_legend(pattern, one["metric"]), "--" if pattern.startswith("capacity") else "-", points))
    if panel.unit == "s" and max((value for _, _, points in lines for value in points.values()), default=0) > 5:
        factor, unit = 1.0, "s"
    times = [start + number * step for number in range(_POINTS + 1)]
    for legend, dashes, points in lines:
        # A gap in the data stays a gap in the line: a value counts only near its own time.
        values = [
            next((points[at] * factor for at in points if abs(at - time) < step / 2), float("nan")) for time in times
        ]
        axes.plot([(time - start) / 60 for time in times], values, dashes, linewidth=1.1, label=legend)
    if panel.limit is not None:
        axes.axhline(panel.limit * factor, color="#c0392b", linewidth=0.8, linestyle=":")
    axes.set_title(panel.title + (f" ({unit})" if unit else ""), fontsize=9, loc="left")
    axes.set_xlim(0, (end - start) / 60)
    shown = [value for line in axes.lines for value in line.get_ydata() if value == value]
    axes.set_ylim(0, 1.3 * max(shown, default=1.0) or 1.0)  # leaves room for the legend
    axes.tick_params(labelsize=7)
    axes.grid(linewidth=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(fontsize=5.5, frameon=False, loc="upper left", ncols=2)


def draw(address: str, minutes: float, out: Path) -> None:
    """Draws the last minutes."""
    panels = {panel.title: panel for dashboard in (SERVICE, WORKERS) for _, row in dashboard.rows for panel in row}
    end = time.time()
    plt.rcParams |= {"svg.hashsalt": "sentiq", "font.family": "sans-serif"}
    figure, grid = plt.subplots(
        -(-len(MAIN) // _COLUMNS), _COLUMNS, figsize=(14, 2.5 * -(-len(MAIN) // _COLUMNS)), layout="constrained"
    )
    for axes, title in zip(grid.flat, MAIN, strict=False):
        _draw(axes, panels[title], address, end - 60 * minutes, end)
    for axes in grid[-1]:
        axes.set_xlabel("minutes", fontsize=7)
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draws the dashboards' main panels.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    draw(given.prometheus, given.minutes, given.out)
