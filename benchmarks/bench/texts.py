"""The texts that are sent: real or generated ones, each with a unique number, so that no cache knows them."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.text import clean

_WORDS = (
    "the a this that my your our it we they is was will so very not never really just again love like hate miss want "
    "need feel think see hear wait got made lost found best worst good bad great awful fine late early new old long "
    "short happy sad angry tired bored phone game match team song show film book food coffee bus train rain sun monday "
    "weekend morning night school work friend boss people price service update battery screen queue ticket and but "
    "because when with without for from about today tomorrow lol omg"
)


_LEAST_TEXTS = 1000
"""Fewer texts would not be representative: they would differ only in their numbers."""


class Texts:
    """A supply of texts. They are cleaned, so that every system scores the same."""

    def __init__(self, path: Path | None, seed: int = 1) -> None:
        """Reads a TSV file, perhaps gzipped, with a column `text`; without a file, makes random sentences of 3 to 40
        words.

        Raises:
            ValueError: there is no such column, or it has too few different texts.
        """
        rng = random.Random(seed)
        if path is None:
            self.source = "generated sentences of 3 to 40 words"
            found = [" ".join(rng.choices(_WORDS.split(), k=rng.randint(3, 40))) for _ in range(20_000)]
        else:
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="\n") as rows:
                column = next(rows, "").rstrip("\r\n").split("\t").index("text")
                found = sorted({clean(row.rstrip("\r\n").split("\t")[column]) for row in rows} - {""})
            if len(found) < _LEAST_TEXTS:
                raise ValueError(f"{path.name} has {len(found)} different texts, fewer than {_LEAST_TEXTS}")
            self.source = f"{len(found):,} texts of {path.name}"
        rng.shuffle(found)
        self.plain = found[:20_000]
        self.number = 0
        """The number of the next text; wrk continues from it too."""

    def fresh(self) -> Iterator[str]:
        """Yields texts that were never sent before, without end."""
        while True:
            text = f"{self.plain[self.number % len(self.plain)]} {self.number}"
            self.number += 1
            yield text

    def take(self, count: int) -> list[str]:
        """The next so many fresh texts."""
        return list(itertools.islice(self.fresh(), count))


def zipf(count: int, draws: int, seed: int) -> list[int]:
    """Ranks from 0 to `count` - 1, drawn with probabilities proportional to 1 / (rank + 1)."""
    return random.Random(seed).choices(range(count), weights=[1 / (rank + 1) for rank in range(count)], k=draws)


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    """Writes the file that load.lua reads: JSON strings without their quotes, one a line."""
    path.write_text("\n".join(json.dumps(text)[1:-1] for text in texts) + "\n")
    return path
