"""`make bench [DATA=tweets.tsv.gz] [QUICK=1]`: writes performance.md, performance.json and plots into docs, QUICK=1
into runs/bench. `make bench MODEL=FOLDER`: the same model compiled, by torch, and in the baseline; see `models`.

DATA is a TSV file, perhaps gzipped, with a header line, with a column `text`; without it, sentences are generated.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import environments, machine, models, plots, report
from benchmarks.bench.rounds import QUICK, Bench, Plan
from benchmarks.bench.systems import Bare, Baseline, Infinity, LitServe, Pipelined, Sentiq, System
from benchmarks.bench.texts import Texts, write_lines
from benchmarks.services import ROOT, StartFailed


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("The benchmark's load comes from wrk: install Debian's package wrk (apt-get install wrk).")
    if asked.data is not None and not asked.data.is_file():
        sys.exit(f"{asked.data} is no file: give a TSV, perhaps gzipped, with a column `text`.")
    if asked.model is not None and not (asked.model / "config.json").is_file():
        sys.exit(f"{asked.model} is no folder of a model: it has no config.json.")
    try:
        texts = Texts(asked.data)
    except ValueError as error:
        sys.exit(f"{asked.data}: {error}")
    words = {
        "MODEL": asked.model and asked.model.name,
        "QUICK": int(asked.quick),
        "DATA": asked.data and asked.data.name,
    }
    facts = machine.facts(" ".join(["make bench", *(f"{name}={value}" for name, value in words.items() if value)]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if asked.model is None:
            run(Bench(QUICK if asked.quick else Plan(), texts, Path(folder)), facts, asked.quick)
        else:
            plan = models.QUICK if asked.quick else models.PLAN
            run_model(models.ModelBench(plan, texts, Path(folder), asked.model.resolve()), facts)


def run(bench: Bench, facts: dict[str, Any], quick: bool) -> None:
    """Compares Sentiq with other systems, all with the embedded model."""
    factories: dict[str, Callable[[Path], System]] = {"Sentiq": Sentiq}
    pythons, absent = {}, {}
    for name, make in (("baseline", Baseline), ("LitServe", LitServe), ("infinity", Infinity)):
        try:
            pythons[name] = python = environments.python_of(name.lower())
            factories[name] = partial(make, python=python)
        except environments.NotInstalled as error:
            if name == "baseline":
                sys.exit(f"The baseline cannot be installed: {error}")
            absent[name] = f"not installed: {error}"
    factories["bare WSGI"] = Bare
    bench.absent |= absent
    facts |= measured(bench, factories, pythons)
    out = ROOT / "runs" / "bench" if quick else ROOT / "docs"
    print("\n" + report.write(out, facts, bench.records))
    plots.plot(out, bench.records)
    _refuse_wrong(bench)


def run_model(bench: models.ModelBench, facts: dict[str, Any]) -> None:
    """Compares the compiled model with the same one run by torch."""
    try:
        python = environments.python_of("baseline")
    except environments.NotInstalled as error:
        sys.exit(f"The baseline cannot be installed: {error}")
    factories: dict[str, Callable[[Path], System]] = {
        kind.name: partial(kind, MODEL_NAME=str(bench.model)) for kind in (Sentiq, Pipelined)
    }
    factories[Baseline.name] = partial(Baseline, python=python, model=bench.model)
    facts |= measured(bench, factories, {"baseline": python}) | {"model": bench.model.name}
    print("\n" + models.write(ROOT / "runs" / "bench", facts, bench))
    _refuse_wrong(bench)


def measured(bench: Bench, factories: dict[str, Callable[[Path], System]], pythons: dict[str, Path]) -> dict[str, Any]:
    """Runs all rounds; returns facts about the run."""
    began = time.monotonic()
    write_lines(bench.folder / "plain", bench.texts.plain)
    print(f"Texts: {bench.texts.source}", flush=True)
    try:
        bench.start(factories)
        for number in range(bench.plan.rounds):
            bench.turn(number)
        bench.sizes()
        identity = bench.raw.identity
    except StartFailed as error:
        sys.exit(str(error))
    finally:
        bench.close()
    return {
        "texts": bench.texts.source,
        "engine": identity,
        "versions": machine.versions(pythons),
        "absent": bench.absent,
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


def _refuse_wrong(bench: Bench) -> None:
    if any(record.get("wrong") for record in bench.records):
        sys.exit("A system gave wrong answers: the runs marked void do not count.")


if __name__ == "__main__":
    main()
