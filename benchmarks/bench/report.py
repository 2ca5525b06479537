"""Makes tables, ratios and a file with all raw numbers from the measurements."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_ABOUT = """\
All systems run on this one machine, are up at the same time, and take turns: in each round each scenario is put to one
system after the other, each round in another order. The load generator runs on the same cores. Figures are medians of
the rounds, with the lowest and the highest in brackets; a ratio is taken in each round, and its median stands here.
Only a status of 200 counts as an answer.

- **Sentiq**: as `make run` starts it, with its defaults.
- **baseline**: FastAPI, transformers' `pipeline()` in fp32 with the same weights, and Redis:
  `benchmarks/baseline/service.py`.
- **LitServe**, **infinity**: the same weights in fp32 behind these servers; neither has a cache. LitServe, which uses
  the processor while nobody asks, is held by a signal while others are measured.
- **raw engine**: Sentiq's compiled engine in a process of its own, two callers with 32 texts each, without any service
  around it.
- **bare WSGI**: a view that answers with a constant, under Sentiq's Gunicorn configuration and worker class.

*Cached* texts were all asked before; *uncached* ones never were: each ends in a number of its own. *Zipf*: 10,000
texts, the n-th asked in proportion to 1/n, none known at the start. *Batch of 10*: 4 of the texts are known; one
request, of Sentiq `POST /batch_predict` with `Prefer: return=representation`. *Job*: of Sentiq, one upload until the
job's end; of the baseline, batches of 100 one after the other for a limited time. Single texts are sent by wrk, batches
and paced callers by threads of Python. Some texts are asked beside each load and their labels compared with the raw
engine's: a run with a wrong one is void. (Of fp32 systems a label counts as wrong where the int8 engine's two highest
scores are 0.2 or more apart.) All texts are sent as the model's cleaning leaves them.
"""


def cell(values: Sequence[float], form: str) -> str:
    """The median, and the range if there are several values."""
    if not values:
        return ""
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def values(records: Iterable[Record], scenario: str, system: str, key: str) -> dict[int, float]:
    """A figure by round, without void runs."""
    return {
        each["round"]: each[key]
        for each in records
        if (each["scenario"], each["system"]) == (scenario, system) and key in each and not each.get("wrong")
    }


def ratios(upper: dict[int, float], lower: dict[int, float]) -> list[float]:
    """The ratio in each round in which both were measured."""
    return [upper[number] / lower[number] for number in sorted(upper.keys() & lower.keys()) if lower[number]]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    cells = [list(heads), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    cells.insert(1, ["-" * width for width in widths])
    return (
        "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in cells
        )
        + "\n"
    )


def engine(records: list[Record], key: str, best: Callable[[Iterable[float]], float]) -> dict[int, float]:
    """The raw engine's figure by round, for the number of threads that gives the best one."""
    runs = [each for each in records if each["scenario"] == "raw engine"]
    return {
        number: best(each[key] for each in runs if each["round"] == number)
        for number in {each["round"] for each in runs}
    }


def ratio_rows(records: list[Record]) -> list[list[str]]:
    """The ratios of Sentiq to the baseline, the raw engine and the bare view."""
    rows = []
    http = list(dict.fromkeys(each["scenario"] for each in records if "connections" in each))
    for scenario in [*http, "job"]:
        ours = values(records, scenario, "Sentiq", "answers_per_s")
        per_text = {"job": 1, "batch of 10, 8": 6}.get(scenario, 1 if scenario.startswith("uncached") else 0)
        raw = engine(records, "answers_per_s", max) if per_text else {}
        rows.append(
            [
                scenario,
                cell(list(ours.values()), ",.1f"),
                cell(ratios(ours, values(records, scenario, "baseline", "answers_per_s")), ".2f"),
                cell([per_text * each for each in ratios(ours, raw)], ".0%"),
                cell(ratios(ours, values(records, scenario, "bare WSGI", "answers_per_s")), ".0%"),
            ]
        )
    return rows


def http_rows(records: list[Record]) -> list[list[str]]:
    """Each scenario on each system: rate, percentiles, and the number of answers other than 200."""
    rows = []
    for scenario, system in dict.fromkeys(
        (each["scenario"], each["system"]) for each in records if "connections" in each
    ):
        runs = [each for each in records if (each["scenario"], each["system"]) == (scenario, system)]
        other = {status: sum(run["other"].get(status, 0) for run in runs) for run in runs for status in run["other"]}
        times = [
            cell(list(values(records, scenario, system, key).values()), ",.1f")
            for key in ("p50_ms", "p95_ms", "p99_ms")
        ]
        told = ", ".join(f"{status}: {count}" for status, count in sorted(other.items())) or "0"
        void = f"; {count} runs void" if (count := sum(bool(run["wrong"]) for run in runs)) else ""
        rows.append(
            [
                scenario,
                system,
                cell(list(values(records, scenario, system, "answers_per_s").values()), ",.1f"),
                *times,
                told + void,
            ]
        )
    return rows


def _figures(
    records: list[Record], columns: dict[str, tuple[str, str, str]], systems: Sequence[str]
) -> list[list[str]]:
    """Rows of named figures (title -> scenario, key, format), with a column for each system."""
    return [
        [title, *(cell(list(values(records, scenario, system, key).values()), form) for system in systems)]
        for title, (scenario, key, form) in columns.items()
    ]


def memory_rows(records: list[Record]) -> list[list[str]]:
    """Each kind of process of each system: how many there are, and the memory of the largest."""
    rows = []
    for each in (each for each in records if each["scenario"] == "memory"):
        processes = each["processes"]
        for kind in dict.fromkeys(kind for kind, _ in processes):
            sizes = [size for other, size in processes if other == kind]
            rows.append([each["system"], kind, str(len(sizes)), f"{max(sizes):.0f}", f"{sum(sizes):.0f}", ""])
        rows.append(
            [
                each["system"],
                "all",
                str(len(processes)),
                "",
                f"{sum(s for _, s in processes):.0f}",
                f"{each['idle_cpu_percent']:.1f}",
            ]
        )
    return rows


def markdown(facts: dict[str, Any], records: list[Record]) -> str:
    """The whole document."""
    both = ("Sentiq", "baseline")
    jobs = {
        "job, texts/s": ("job", "answers_per_s", ",.0f"),
        "4 callers alone, p50 ms": ("callers alone", "p50_ms", ".1f"),
        "4 callers alone, p95 ms": ("callers alone", "p95_ms", ".1f"),
        "4 callers beside a job, p50 ms": ("callers beside a job", "p50_ms", ".1f"),
        "4 callers beside a job, p95 ms": ("callers beside a job", "p95_ms", ".1f"),
        "p95 beside a job / alone": ("callers beside a job", "p95_ratio", ".2f"),
        "job beside callers, texts/s": ("callers beside a job", "job_per_s", ",.0f"),
    }
    raw = {
        "texts/s, calls of 32": ("raw engine", "answers_per_s", ",.1f"),
        "one text, ms": ("raw engine", "lone_ms", ".1f"),
    }
    threads = list(dict.fromkeys(each["system"] for each in records if each["scenario"] == "raw engine"))
    checked, wrong = (sum(each.get(key, 0) for each in records) for key in ("checked", "wrong"))
    lone, own = values(records, "uncached, 1", "Sentiq", "p50_ms"), engine(records, "lone_ms", min)
    above = cell([lone[number] - own[number] for number in lone.keys() & own.keys()], "+.1f")
    starts = list(dict.fromkeys(each["system"] for each in records if each["scenario"] == "cold start"))
    parts = [
        "# Performance\n",
        f"Written by `{facts['command']}` on {facts['date']}, in {facts['minutes']} minutes.\n",
        "".join(
            f"- {name}: {facts[name]}\n"
            for name in ("machine", "load before", "Sentiq", "engine", "texts", "settings", "versions")
        ),
        _ABOUT,
        "".join(f"- **{name}** is missing here: {why}\n" for name, why in facts["absent"].items()),
        f"{checked:,} answers were compared with the raw engine's; {wrong} were wrong.\n",
        "## Sentiq against the baseline and the limits\n",
        (
            "Answers a second, and ratios;"
            " of batches and jobs the ratio to the raw engine counts the texts that must be scored.\n"
        ),
        table(["scenario, connections", "Sentiq", "/ baseline", "/ raw engine", "/ bare WSGI"], ratio_rows(records)),
        f"A lone uncached caller's p50 is {above} ms above the engine's own time for one text.\n",
        "![Throughput against connections](performance-throughput.svg)\n",
        "![Latency percentiles](performance-latency.svg)\n",
        "## Every scenario\n",
        table(
            ["scenario, connections", "system", "answers/s", "p50 ms", "p95 ms", "p99 ms", "not 200, all rounds"],
            http_rows(records),
        ),
        "## The raw engine\n",
        table(["", *threads], _figures(records, raw, threads)),
        "## Jobs, and callers beside them\n",
        "4 connections, together 20 uncached requests a second.\n",
        table(["", *both], _figures(records, jobs, both)),
        "## Start and memory\n",
        "Seconds from a process's start to its first real prediction, files in the page cache.\n",
        table(["", *starts], _figures(records, {"cold start, s": ("cold start", "seconds", ".1f")}, starts)),
        (
            "Memory after all rounds, MB: proportional set size (PSS)."
            " Processor time while nobody asks, in per cent of one core.\n"
        ),
        table(["system", "process", "count", "largest", "together", "idle processor, %"], memory_rows(records)),
        "All figures are in [performance.json](performance.json).",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def write(folder: Path, facts: dict[str, Any], records: list[Record]) -> str:
    """Writes the document and the raw numbers; returns the document."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.md").write_text(text := markdown(facts, records))
    (folder / "performance.json").write_text(json.dumps({"facts": facts, "records": records}, indent=1) + "\n")
    return text
