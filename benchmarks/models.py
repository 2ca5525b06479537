"""Measures what compiling gives a model on this machine: `python -m benchmarks.models default FOLDER ... --data FILE`.

Each model runs by torch in fp32 (the pipeline engine) and compiled, each in a process of its own; the two take turns,
round by round, so that a slow minute of the machine affects both. Prints a Markdown table with, for each of them: one
text alone, ms; texts a second in calls of 32 (medians of the rounds, with the lowest and the highest); seconds from the
process's start until it is warm, for the compiled one the first time, when it compiles the model, and the second, when
it finds it compiled; and the memory of the process after all rounds, as a proportional set size, in MB.
`benchmarks.checkpoints` makes folders of known sizes. Files are in the page cache.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.bench import machine
from benchmarks.bench.report import cell, table
from benchmarks.bench.texts import Texts
from benchmarks.engines import environment
from model.compiling import Compiling
from model.description import Description
from model.engines.registry import load_engine
from model.source import DEFAULT

CALL_TEXTS = 32
_ENGINES = ("pipeline", "compiled")
_TITLES = {"pipeline": "torch fp32", "compiled": "compiled"}


@dataclass
class Measured:
    """The measurements of one model in one engine."""

    form: str = ""
    starts_s: list[float] = field(default_factory=list)
    single_ms: list[float] = field(default_factory=list)
    """The median time of a call with one text, by round."""
    texts_per_s: list[float] = field(default_factory=list)
    """Texts per second in calls of `CALL_TEXTS`, by round."""
    memory_mb: float = 0.0


def _serve(pipe: Connection, model: str, engine: str, artefacts: Path, threads: int) -> None:
    """The measured process: loads the model, then scores what it is sent, and says how long each call took."""
    loaded = load_engine(model, engine=engine, device="cpu", threads=threads, compiling=Compiling(artefacts))
    loaded.warm()
    pipe.send(loaded.description)
    for texts in iter(pipe.recv, None):
        began = time.perf_counter()
        loaded.score(texts)
        pipe.send(time.perf_counter() - began)


class Process:
    """One engine with one model in a process of its own."""

    def __init__(self, model: str, engine: str, artefacts: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, model, engine, artefacts, threads), daemon=True)
        began = time.perf_counter()
        self._process.start()
        there.close()  # so that the end of the process ends the wait for its answer
        self.description: Description = self._pipe.recv()
        self.start_s = time.perf_counter() - began

    def score_s(self, texts: Sequence[str]) -> float:
        """The seconds that one call takes."""
        self._pipe.send(list(texts))
        return float(self._pipe.recv())

    def memory_mb(self) -> float:
        """Its proportional set size."""
        [(_, size)] = machine.memory([self._process.pid or 0])
        return size

    def close(self) -> None:
        """Ends it."""
        self._pipe.send(None)
        self._process.join()


def measure(
    model: str, texts: Iterator[str], artefacts: Path, *, threads: int, rounds: int, seconds: float
) -> dict[str, Measured]:
    """Measures one model in both engines."""
    found = {engine: Measured() for engine in _ENGINES}
    processes: dict[str, Process] = {}
    for engine in _ENGINES:
        # The embedded model comes compiled.
        for turn in range(2 if engine == "compiled" and model != DEFAULT else 1):
            if turn:
                processes[engine].close()
            processes[engine] = Process(model, engine, artefacts, threads)
            found[engine].starts_s.append(processes[engine].start_s)
        found[engine].form = processes[engine].description.form
    for turn in range(rounds):
        for engine in _ENGINES[:: -1 if turn % 2 else 1]:
            singles = _timed(processes[engine], texts, 1, seconds / 2)
            calls = _timed(processes[engine], texts, CALL_TEXTS, seconds)
            found[engine].single_ms.append(1000 * statistics.median(singles))
            found[engine].texts_per_s.append(CALL_TEXTS * len(calls) / sum(calls))
    for engine, process in processes.items():
        found[engine].memory_mb = process.memory_mb()
        process.close()
    return found


def _timed(process: Process, texts: Iterator[str], size: int, seconds: float) -> list[float]:
    """The seconds of each of the calls, with so many texts each, that end in about this time; at least one."""
    calls: list[float] = []
    while sum(calls) < seconds:
        calls.append(process.score_s(list(itertools.islice(texts, size))))
    return calls


def rows(model: str, found: dict[str, Measured]) -> list[list[str]]:
    """The rows of the table for one model."""
    out = []
    for engine, each in found.items():
        faster = statistics.median(
            ours / torch for ours, torch in zip(each.texts_per_s, found["pipeline"].texts_per_s, strict=True)
        )
        starts = [f"{seconds:.1f}" for seconds in each.starts_s]
        out.append(
            [
                model,
                _TITLES[engine] + (f", {each.form}" if engine == "compiled" else ""),
                cell(each.single_ms, ".1f"),
                cell(each.texts_per_s, ",.0f"),
                f"{faster:.1f}",
                starts[0] if len(starts) > 1 or engine == "pipeline" else "",
                starts[-1] if engine == "compiled" else "",
                f"{each.memory_mb:,.0f}",
            ]
        )
    return out


HEADS: tuple[str, ...] = (
    "model",
    "engine",
    "one text, ms",
    f"texts/s, calls of {CALL_TEXTS}",
    "/ torch",
    "first start, s",
)
HEADS += ("second start, s", "memory, MB")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="`default` or folders")
    parser.add_argument("--data", type=Path, help="a TSV file, perhaps gzipped, with a column `text`")
    parser.add_argument("--threads", type=int, default=0, help="0 for one per core")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of calls in a round")
    asked = parser.parse_args()
    texts = Texts(asked.data)
    print(f"{environment()}; {texts.source}", flush=True)
    printed: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        for model in asked.models:
            found = measure(
                model,
                itertools.cycle(texts.plain),
                Path(folder),
                threads=asked.threads,
                rounds=asked.rounds,
                seconds=asked.seconds,
            )
            printed += rows(model if model == DEFAULT else Path(model).resolve().name, found)
            print(" | ".join(printed[-2]), " | ".join(printed[-1]), sep="\n", flush=True)
    print("\n" + table(HEADS, printed))


if __name__ == "__main__":
    main()
