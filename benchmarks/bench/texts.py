"""What is sent: real texts or generated ones, made unknown to every cache by a number that no other text has."""

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
"""Fewer cannot stand for what people send: most of a text would be its number."""


class Texts:
    """A supply of texts, cleaned, so that every system scores the same."""

    def __init__(self, path: Path | None, seed: int = 1) -> None:
        """From a TSV file, perhaps gzipped, with a column `text`; without one, sentences of 3 to 40 words at random.

        Raises:
            ValueError: there is no such column, or hardly a text in it.
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
        """Of the next text; wrk counts on from here too."""

    def fresh(self) -> Iterator[str]:
        """Texts that were never sent before, without end."""
        while True:
            text = f"{self.plain[self.number % len(self.plain)]} {self.number}"
            self.number += 1
            yield text

    def take(self, count: int) -> list[str]:
        """So many fresh ones."""
        return list(itertools.islice(self.fresh(), count))


def zipf(count: int, draws: int, seed: int) -> list[int]:
    """Ranks from 0 to `count` - 1, each drawn with a probability of 1 / (rank + 1), as far as the sum allows."""
    return random.Random(seed).choices(range(count), weights=[1 / (rank + 1) for rank in range(count)], k=draws)


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    """The file that load.lua reads: JSON strings without their quotes, one a line."""
    path.write_text("\n".join(json.dumps(text)[1:-1] for text in texts) + "\n")
    return path
