"""The plots of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bench.report import Record, engine, values


def plot(folder: Path, records: list[Record]) -> None:
    """Draws throughput against connections, and latency percentiles at 32 connections, as two SVG files."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "sentiq", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3, "font.size": 9}
    )
    from matplotlib import pyplot

    order = ("Sentiq", "baseline", "LitServe", "infinity", "bare WSGI")
    colours = dict(zip(order, ("#0b5fa5", "#c4501b", "#7a7a7a", "#a98f00", "#444444"), strict=True))

    def drawn(file: str, draw: Callable[[Any, str], None], titles: dict[str, str]) -> None:
        figure, axes = pyplot.subplots(1, len(titles), figsize=(9, 3.6), layout="constrained")
        for axis, (kind, title) in zip(axes, titles.items(), strict=True):
            axis.set_title(title)
            draw(axis, kind)
            axis.legend(frameon=False, fontsize=8)
        figure.savefig(folder / file, metadata={"Date": None})
        pyplot.close(figure)

    def throughput(axis: Any, kind: str) -> None:
        for system in order:
            found = [
                (c, list(v.values()))
                for c in (1, 32, 256)
                if (v := values(records, f"{kind}, {c}", system, "answers_per_s"))
            ]
            if found:
                middles = [statistics.median(v) for _, v in found]
                reach = [
                    [m - min(v) for m, (_, v) in zip(middles, found, strict=True)],
                    [max(v) - m for m, (_, v) in zip(middles, found, strict=True)],
                ]
                axis.errorbar(
                    [str(c) for c, _ in found],
                    middles,
                    reach,
                    marker="o",
                    capsize=3,
                    label=system,
                    color=colours[system],
                )
        if kind == "uncached":
            limit = statistics.median(engine(records, "answers_per_s", max).values())
            axis.axhline(limit, color="black", linestyle="--", linewidth=1, label="raw engine")
        axis.set(xlabel="connections", ylabel="answers a second")
        axis.set_ylim(bottom=0)

    def latency(axis: Any, kind: str) -> None:
        keys = ("p50_ms", "p95_ms", "p99_ms")
        present = [system for system in order if values(records, kind, system, "p50_ms")]
        for place, system in enumerate(present):
            heights = [statistics.median(values(records, kind, system, key).values()) for key in keys]
            axis.bar(
                [i + 0.8 * place / len(present) for i in range(3)],
                heights,
                0.8 / len(present),
                label=system,
                color=colours[system],
            )
        axis.set_xticks([i + 0.4 - 0.4 / len(present) for i in range(3)], ["p50", "p95", "p99"])
        axis.set(ylabel="milliseconds")
        axis.margins(y=0.3)  # leaves room for the legend

    drawn("performance-throughput.svg", throughput, {"cached": "cached", "uncached": "uncached"})
    drawn(
        "performance-latency.svg",
        latency,
        {"cached, 32": "cached, 32 connections", "uncached, 32": "uncached, 32 connections"},
    )
