"""Whether this code is as fast as another commit's: `python -m benchmarks.versions ../before [--rounds 9]`.

The folder is a checkout of another commit. Both services run at once, each as its own `make run` starts it; each load
meets one and then the other, in changing order, and the ratio of a round is this code's answers a second over the
other's. Each round starts both anew: one start of the same code may be a tenth faster than the next for as long as it
runs. Figures of two runs cannot be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench.load import batches, settle, wrk
from benchmarks.bench.systems import Sentiq
from benchmarks.bench.texts import Texts, write_lines
from benchmarks.services import ROOT

_LOADS = (*((kind, many) for kind in ("cached", "uncached") for many in (1, 32, 256)), ("batch of 10", 8), ("job", 1))
_KNOWN = 500


class Version(Sentiq):
    """Sentiq of one checkout, in the foreground of its own `make run`."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        super().__init__(folder)
        self.checkout = checkout

    def commands(self) -> list[list[str]]:
        """Installs it first where that was not done."""
        return [["make", "--silent", "--directory", str(self.checkout), "run"]]

    def load(self, kind: str, connections: int, texts: Texts, seconds: int, job: int) -> float:
        """Puts one load to it; answers a second. The known texts are in the file `known` beside its folder."""
        settle(self)
        if kind == "job":
            done, took_s, _ = self.bulk(texts.take(job), 600)
            return done / took_s
        if kind == "batch of 10":
            fresh = texts.fresh()
            tens = (list(itertools.islice(fresh, 10)) for _ in itertools.count())
            measured, _ = batches(self, tens, connections, seconds)
        elif kind == "cached":
            measured = wrk(self, connections, seconds, self.folder.parent / "known", None)
        else:
            measured = wrk(self, connections, seconds, self.folder.parent / "plain", texts.number)
            texts.number += measured["requests"] + connections
        if measured["other"]:
            print(f"    {self.checkout.name}: not answered with 200: {measured['other']}", flush=True)
        return float(measured["answers_per_s"])


def compare(before: Path, rounds: int, seconds: int, job: int) -> None:
    """Runs both and prints a table."""
    texts = Texts(None)
    ratios: dict[tuple[str, int], list[float]] = {load: [] for load in _LOADS}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as ends:
            folder = Path(name)
            known = texts.take(_KNOWN)
            write_lines(folder / "known", known)
            write_lines(folder / "plain", texts.plain)
            versions = [Version(folder / "now", ROOT), Version(folder / "before", before)]
            # Who comes second shall not matter, in starts and in loads.
            order = versions if turn % 2 else versions[::-1]
            for version in order:
                ends.callback(version.close)
                version.start(version.is_ready, timeout_s=600)
                version.bulk(known, 600)
            for position, load in enumerate(_LOADS):
                rates = {}
                for version in order if position % 2 else order[::-1]:
                    rates[version.folder.name] = version.load(*load, texts, seconds, job)
                ratios[load].append(rates["now"] / rates["before"])
                rated = f"{rates['now']:,.0f} / {rates['before']:,.0f} a second"
                print(f"  round {turn + 1}, {load[0]}, {load[1]}: {rated}", flush=True)
    print(
        f"\n{rounds} rounds of {seconds} s, a job of {job:,} texts; answers a second of this code over those before\n"
    )
    print(table(ratios))


def table(ratios: Mapping[tuple[str, int], Sequence[float]]) -> str:
    """The ratios of all rounds by kind and connections of a load, as a Markdown table."""
    rows = [
        f"| {kind}, {many} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |"
        for (kind, many), found in ratios.items()
    ]
    return "\n".join(["| Load | Median of the ratios | Lowest | Highest |", "|---|---|---|---|", *rows])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--job", type=int, default=5_000, help="texts of a job")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("The load comes from wrk: install Debian's package wrk (apt-get install wrk).")
    if not (asked.before / "Makefile").is_file():
        sys.exit(f"{asked.before} is no checkout of Sentiq.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    os.environ.pop("SENTIQ_PARENT", None)
    began = time.monotonic()
    compare(asked.before.resolve(), asked.rounds, asked.seconds, asked.job)
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
