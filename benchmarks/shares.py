"""`python -m benchmarks.shares --data FOLDER`: whether the intervals and shifts of `model.shares` hold on real texts.

Takes every `*.csv.gz` in FOLDER with the columns `text`, `gold` and `segment`, and `time` if there is one. Scores it
with the embedded model: 30,000 tweets take some minutes; `--scores FOLDER` keeps them for the next time. Prints, from
many random draws of labels, how often the 95 % intervals hold the truth, which is known as all texts are labelled.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm

from model.engines.registry import load_engine
from model.labels import LABELS
from model.shares import sums
from model.shares.corrected import corrected, stratified
from model.shares.detector import Detector
from model.shares.difference import compare
from model.shares.estimates import Comparison, Labelled, Shares
from model.shares.raw import raw
from model.shares.series import series
from model.shares.shifts import shifts
from model.shares.sums import Floats, Integers
from model.text import clean

KINDS = ("negative", "neutral", "positive", "net")
LEAST = 150
"""Texts of a segment that is looked at."""


@dataclass(frozen=True)
class Texts:
    """A file's texts, or a part of them."""

    gold: Integers
    scores: Floats
    segment: Integers
    time: Floats
    """Epoch seconds; NaN in a file without times."""

    def part(self, which: Integers) -> Texts:
        """Some of the texts."""
        return Texts(self.gold[which], self.scores[which], self.segment[which], self.time[which])

    def segments(self) -> list[Texts]:
        """The texts of each segment that is large enough."""
        each = [self.part(np.flatnonzero(self.segment == one)) for one in np.unique(self.segment)]
        return [one for one in each if len(one.gold) >= LEAST]

    def truth(self) -> Floats:
        """The shares and net by people's labels."""
        share = np.bincount(self.gold, minlength=3) / len(self.gold)
        return np.array([*share, share[2] - share[0]])

    def labelled(self, which: Integers) -> Labelled:
        """The labels of some of the texts."""
        return Labelled(self.gold[which], self.scores[which])


def read(path: Path, kept: Path | None) -> Texts:
    """A labelled file with the embedded model's scores, from `kept` if they are there."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    stored = kept / f"{path.name.partition('.')[0]}.npz" if kept else None
    if stored and stored.is_file():
        scores = np.load(stored)["probs"].astype(np.float64)
    else:
        engine = load_engine("default", threads=0)
        engine.warm()
        texts = [clean(row["text"]) for row in rows]
        steps = tqdm(range(0, len(texts), 512), desc=path.name, disable=None)
        scores = np.concatenate([engine.score(texts[start : start + 512]).probabilities for start in steps])
        scores = scores.astype(np.float64)
        if stored:
            np.savez_compressed(stored, probs=scores.astype(np.float32))
    times = [datetime.fromisoformat(row["time"]).timestamp() if row.get("time") else np.nan for row in rows]
    segment = np.unique([row["segment"] for row in rows], return_inverse=True)[1]
    return Texts(np.array([LABELS.index(row["gold"]) for row in rows]), scores, segment, np.array(times))


class Held:
    """Counts how often intervals hold the truth, and how wide they are."""

    def __init__(self) -> None:
        self.held: list[list[bool]] = []
        self.half: list[list[float]] = []

    def add(self, found: Shares | Comparison, truth: Floats) -> None:
        """Adds the four intervals of one draw."""
        each = [getattr(found, kind) for kind in KINDS]
        self.held.append([one.low - 1e-9 <= value <= one.high + 1e-9 for one, value in zip(each, truth, strict=True)])
        self.half.append([(one.high - one.low) / 2 for one in each])

    def row(self, name: str) -> str:
        """A row of a table: coverage in per cent and half-width in points, for each kind."""
        if not self.held:
            return f"| {name} |" + " |" * len(KINDS)
        cells = zip(100 * np.mean(self.held, axis=0), 100 * np.mean(self.half, axis=0), strict=True)
        return f"| {name} | " + " | ".join(f"{held:.1f} (±{half:.1f})" for held, half in cells) + " |"


def head(title: str, first: str, names: Sequence[str] = KINDS) -> None:
    """Prints the head of a table."""
    print(f"\n{title}\n\n| {first} | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")


def coverage(texts: Texts, draws: int, rng: np.random.Generator) -> None:
    """Prints coverage and half-width of segments, of differences and of the whole, for several numbers of labels."""
    segments = texts.segments()
    totals, truths = [sums.of(one.scores) for one in segments], [one.truth() for one in segments]
    head(f"{len(segments)} segments of {LEAST} texts or more: coverage in %, mean half-width in points", "interval")
    counted, apart = Held(), Held()
    for total, truth in zip(totals, truths, strict=True):
        counted.add(raw(total), truth)
    for first in range(len(segments) - 1):
        apart.add(compare(raw(totals[first]), raw(totals[first + 1])), truths[first] - truths[first + 1])
    print(counted.row("raw, shares"))
    print(apart.row("raw, differences"))
    for labels in (100, 200, 400):
        alone, apart, whole = Held(), Held(), Held()
        large = [place for place, one in enumerate(segments) if len(one.gold) >= labels + 20]
        for _ in range(max(draws // max(len(large), 1), 1)):
            found = []
            for place in large:
                chosen = rng.permutation(len(segments[place].gold))[:labels]
                found.append(corrected(totals[place], segments[place].labelled(chosen)))
                alone.add(found[-1], truths[place])
            for one in range(len(large) - 1):
                apart.add(compare(found[one], found[one + 1]), truths[large[one]] - truths[large[one + 1]])
        for _ in range(draws // 10):
            whole.add(_stream(texts, labels, rng), texts.truth())
        print(alone.row(f"{labels} labels a segment, shares"))
        print(apart.row(f"{labels} labels a segment, differences"))
        print(whole.row(f"{labels} labels of the whole stream, by segments"), flush=True)


def _stream(texts: Texts, labels: int, rng: np.random.Generator) -> Shares:
    chosen = rng.permutation(len(texts.gold))[:labels]
    sampled = texts.part(chosen)
    number = int(texts.segment.max()) + 1
    totals = sums.by(texts.segment, number, texts.scores)
    return stratified(
        [(totals[one], sampled.labelled(np.flatnonzero(sampled.segment == one))) for one in range(number)]
    )


def buckets(texts: Texts, draws: int, rng: np.random.Generator) -> None:
    """Prints coverage of days and quarters of a day by the labels of each segment's whole time."""
    head("Buckets of 30 texts or more, corrected by all labels of their segment", "buckets")
    for hours in (24, 6):
        for labels in (100, 400):
            held = Held()
            for one in [one for one in texts.segments() if len(one.gold) > labels]:
                place = ((one.time - texts.time.min()) // (3600 * hours)).astype(np.int64)
                each = sums.by(place, int(place.max()) + 1, one.scores)
                for _ in range(max(draws // 300, 1)):
                    chosen = rng.permutation(len(one.gold))[:labels]
                    found = series(each, one.labelled(chosen), place[chosen])
                    for bucket in np.flatnonzero(sums.texts(each) >= 30):
                        held.add(found[bucket], one.part(np.flatnonzero(place == bucket)).truth())
            print(held.row(f"{hours} h, {labels} labels a segment"), flush=True)


def alarms(texts: Texts, runs: int, rng: np.random.Generator) -> None:
    """Prints false alarms in 10,000 texts drawn from the file, and how soon it is found that some are replaced."""
    net = texts.scores[:, 2] - texts.scores[:, 0]
    draw: Callable[[int], Integers] = lambda size: rng.integers(0, len(net), size)  # noqa: E731
    online = sum(bool(Detector().add(net[draw(10_000)], np.arange(10_000))) for _ in range(runs))
    offline = sum(bool(shifts(np.arange(10_000), net[draw(10_000)])) for _ in range(runs))
    print(
        f"\nWithout a shift: {100 * online / runs:.1f} % of streams with an alarm, {100 * offline / runs:.1f} % offline"
    )
    names = ("found in %", "median delay", "time held", "size held", "size in points of net probability")
    head("From text 5,000 of 10,000 on so many texts are replaced", "replaced", names)
    for old, new in ((0, 2), (None, 2), (None, 0)):
        for part in (0.05, 0.1, 0.2):
            pool = np.ones(len(net), bool) if old is None else texts.gold == old
            if part > pool.mean():
                continue
            size = part * (net[texts.gold == new].mean() - net[pool].mean())
            rows = []
            for _ in range(runs // 2):
                drawn = draw(10_000)
                values = net[drawn]
                change = pool[drawn] & (rng.random(10_000) < part / pool.mean()) & (np.arange(10_000) >= 5000)
                values[change] = rng.choice(net[texts.gold == new], int(change.sum()))
                late = [one for one in Detector().add(values, np.arange(10_000)) if one.found >= 5000][:1]
                rows += [(o.found - 4999, o.earliest <= 5000 <= o.latest, o.low <= size <= o.high) for o in late]
            delay, when, held = np.array(rows).T if rows else np.full((3, 1), np.nan)
            name = f"{100 * part:.0f} % {'any' if old is None else LABELS[old]} by {LABELS[new]}"
            cells = (200 * len(rows) / runs, np.median(delay), 100 * when.mean(), 100 * held.mean())
            print(f"| {name} | " + " | ".join(f"{one:.0f}" for one in cells) + f" | {100 * size:+.1f} |", flush=True)


def main(
    data: Annotated[Path, typer.Option(help="Holds labelled files, *.csv.gz.", exists=True)],
    scores: Annotated[Path | None, typer.Option(help="Where scores are kept between calls.")] = None,
    draws: Annotated[int, typer.Option(help="Random draws of labels for each row of a table, about.")] = 6000,
    runs: Annotated[int, typer.Option(help="Streams for each row of the shifts.")] = 400,
) -> None:
    """Prints the tables of docs/shares.md for each file."""
    for path in sorted(data.glob("*.csv.gz")):
        texts = read(path, scores)
        rng = np.random.default_rng(1)
        print(f"\n## {path.name}: {len(texts.gold)} texts")
        coverage(texts, draws, rng)
        if np.isfinite(texts.time).all():
            buckets(texts, draws, rng)
        alarms(texts, runs, rng)


if __name__ == "__main__":
    typer.run(main)
