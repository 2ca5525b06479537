"""Measures how fast each engine runs the embedded model on this machine: `python -m benchmarks.engines --data FILE`.

Real texts come in calls of 1 to 32, as in live traffic. The candidates take turns, round by round, so that a slow
minute of the machine affects all of them; the medians of the rounds are printed. Each candidate runs in processes of
its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from model.engines.registry import load_engine
from model.training import data

Score = Callable[[list[str]], object]


def compiled(model: str, threads: int) -> Score:
    """The compiled engine."""
    engine = load_engine(model, engine="compiled", device="cpu", threads=threads)
    engine.warm()
    return engine.score


def pipeline(model: str, threads: int) -> Score:
    """The pipeline engine: torch in fp32, batches sorted by length."""
    engine = load_engine(model, engine="pipeline", device="cpu", threads=threads)
    engine.warm()
    return engine.score


def plain(model: str, threads: int) -> Score:
    """transformers' own pipeline, used as its documentation shows, in batches of 32 in the order of arrival."""
    import torch
    import transformers

    from model.source import DEFAULT, DEFAULT_FOLDER

    torch.set_num_threads(threads)
    folder = str(DEFAULT_FOLDER if model == DEFAULT else model)
    classify = transformers.pipeline("text-classification", model=folder, top_k=None, dtype=torch.float32)
    classify("warm")
    return lambda texts: classify(texts, batch_size=32, truncation=True)


CANDIDATES: dict[str, Callable[[str, int], Score]] = {"compiled": compiled, "pipeline": pipeline, "plain": plain}


@dataclass
class Measured:
    """The measurements of one candidate."""

    start_s: float = 0.0
    """Seconds from the start of the slowest process until its engine is warm."""
    memory_mib: float = 0.0
    """Resident memory of one process after the rounds."""
    texts_per_s: list[float] = field(default_factory=list)
    """The rate of all processes together, by round."""
    single_ms: list[float] = field(default_factory=list)
    """The median time of a call with one text, by round."""


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _serve(
    pipe: Connection, load: Callable[[str, int], Score], model: str, threads: int, texts: list[str], seconds: float
) -> None:
    """The measured process: loads the engine, then runs a round for each seed that it is sent."""
    started = time.perf_counter()
    score = load(model, threads)
    pipe.send(time.perf_counter() - started)
    while (seed := pipe.recv()) is not None:
        rng = random.Random(seed)
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            first, size = rng.randrange(len(texts) - 32), rng.randint(1, 32)
            score(texts[first : first + size])
            done += size
        rate = done / (time.perf_counter() - began)
        singles = []
        for text in rng.sample(texts, 15):
            at = time.perf_counter()
            score([text])
            singles.append(1000 * (time.perf_counter() - at))
        pipe.send((rate, statistics.median(singles), _resident_mib()))


def measure(
    names: list[str], model: str, texts: list[str], threads: int, processes: int, rounds: int, seconds: float
) -> dict[str, Measured]:
    """Measures the named candidates in alternating rounds, each in `processes` processes of `threads` threads."""
    context = multiprocessing.get_context("spawn")
    out = {name: Measured() for name in names}
    pipes: dict[str, list[Connection]] = {name: [] for name in names}
    children = []
    for name in names:
        for _ in range(processes):
            here, there = context.Pipe()
            child = context.Process(
                target=_serve, args=(there, CANDIDATES[name], model, threads, texts, seconds), daemon=True
            )
            child.start()
            children.append(child)
            pipes[name].append(here)
        # Candidates are loaded one after the other, because loading is measured too.
        out[name].start_s = max(pipe.recv() for pipe in pipes[name])
    with tqdm(total=rounds * len(names), unit="round", disable=None, leave=False) as bar:
        for turn in range(rounds):
            for name in names:
                for number, pipe in enumerate(pipes[name]):
                    pipe.send(f"{turn}/{number}")
                answers = [pipe.recv() for pipe in pipes[name]]
                out[name].texts_per_s.append(sum(rate for rate, _, _ in answers))
                out[name].single_ms.append(statistics.median(single for _, single, _ in answers))
                out[name].memory_mib = max(memory for _, _, memory in answers)
                bar.update()
    for each in pipes.values():
        for pipe in each:
            pipe.send(None)
    for child in children:
        child.join()
    return out


def environment() -> str:
    """One line with date, processor and versions."""
    versions = []
    for package in ("openvino", "transformers", "torch", "tokenizers", "numpy"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    vnni = ", AVX-512 VNNI" if "avx512_vnni" in cpuinfo else ""
    today = datetime.now(UTC).date()
    return (
        f"{today}, {os.cpu_count()} cores, {processor}{vnni}, Python {platform.python_version()}, {', '.join(versions)}"
    )


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a labelled file whose texts are scored")
    parser.add_argument("--model", default="default")
    parser.add_argument("--engines", default=",".join(CANDIDATES), help="which candidates, separated by commas")
    parser.add_argument("--layouts", default="2x1,1x1,1x2", help="threads x processes, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    arguments = parser.parse_args()
    texts = [example.text for example in data.read(arguments.data)]
    print(environment(), end="\n\n")
    print(
        "| threads x processes | engine | texts/s | lowest to highest | one text, ms"
        " | load and warm, s | memory of a process, MiB |"
    )
    print("|---|---|---|---|---|---|---|")
    for layout in arguments.layouts.split(","):
        threads, processes = (int(part) for part in layout.split("x"))
        found = measure(
            arguments.engines.split(","),
            arguments.model,
            texts,
            threads,
            processes,
            arguments.rounds,
            arguments.seconds,
        )
        for name, each in found.items():
            rates = each.texts_per_s
            print(
                f"| {layout} | {name} | {statistics.median(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} "
                f"| {statistics.median(each.single_ms):.1f} | {each.start_s:.1f} | {each.memory_mib:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
