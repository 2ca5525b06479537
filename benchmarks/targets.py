"""How right the label towards a target is, scored by what is about it and by the whole text.

    python -m benchmarks.targets TOPICS.csv.gz [--texts 1200] [--names JSON]

The file has the columns `text`, `segment` (the target) and `gold` (the label towards it). `--names` gives segments
other names: '{"American": "AmericanAir"}'. Prints macro recall in per cent: of texts of several sentences, and of two
texts in a row with different targets and labels, of which one is asked for.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from model.engines.registry import load_engine
from model.sentences import sentences
from model.target import about, joined, names
from model.text import clean

Row = tuple[str, str, str]
"""Text, target, label."""


def _ended(text: str) -> str:
    return text if text.rstrip()[-1:] in (".", "!", "?") else f"{text}."


def pairs(rows: list[Row]) -> list[Row]:
    """Two texts in a row, of which one is asked for: its target is not named in the other."""
    chance = random.Random(5)
    made = []
    for one, other in zip(rows, rows[len(rows) // 2 :], strict=False):
        if one[2] != other[2] and one[1] != other[1] and not names(one[1]).search(other[0]):
            first, second = (one, other) if chance.random() < 0.5 else (other, one)
            made.append((f"{_ended(first[0])} {_ended(second[0])}", one[1], one[2]))
    return made


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--texts", type=int, default=1200)
    parser.add_argument("--names", type=json.loads, default={})
    given = parser.parse_args()
    engine = load_engine("default")
    classes = list(engine.analysis.classes)
    with gzip.open(given.file, "rt", newline="") as file:
        found = [
            (row["text"], given.names.get(row["segment"], row["segment"]), row["gold"].upper())
            for row in csv.DictReader(file)
        ]
    named = [row for row in found if names(row[1]).search(row[0])]
    print(f"{len(named)} of {len(found)} texts name their target")
    random.Random(5).shuffle(named)
    several = [row for row in named if len(sentences(row[0])) > 1]

    def recall(rows: list[Row], part: Callable[[str, str], str]) -> float:
        scores = engine.score([clean(part(text, target)) for text, target, _ in rows]).probabilities
        told = [classes[row] for row in scores.argmax(1)]
        of = [[t == row[2] for t, row in zip(told, rows, strict=True) if row[2] == name] for name in classes]
        return float(100 * np.mean([np.mean(hits) for hits in of if hits]))

    for name, rows in (("several sentences", several), ("two texts in a row", pairs(named))):
        some = rows[: given.texts]
        whole = recall(some, lambda text, target: text)
        parts = recall(some, lambda text, target: joined(text, about(text, target)))
        print(f"{name}: {len(some)} texts, whole {whole:.1f}, what is about the target {parts:.1f}", flush=True)


if __name__ == "__main__":
    main()
