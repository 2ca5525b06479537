"""Labelled texts from `text<TAB>label` files: gzip, UTF-8, one header line, no quoting."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass
from pathlib import Path

from model.labels import LABELS
from model.text import clean

_INDEX = {label.lower(): index for index, label in enumerate(LABELS)}


@dataclass(frozen=True)
class Example:
    """A cleaned text and the index of its label in `LABELS`."""

    text: str
    label: int


@dataclass(frozen=True)
class Source:
    """A training file and how many of its rows one pass draws (all, if None)."""

    file: str
    rows: int | None = None


def read(path: Path) -> list[Example]:
    """All rows of a file, cleaned as the service cleans.

    Raises:
        ValueError: a row is not one text, one tab and one of the three labels; the message has its line number.
    """
    examples = []
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        next(lines)
        for number, line in enumerate(lines, start=2):
            text, tab, label = line.rstrip("\n").rpartition("\t")
            if not tab or label not in _INDEX:
                raise ValueError(f"{path}, line {number}: expected text, a tab, and one of {', '.join(_INDEX)}")
            examples.append(Example(clean(text), _INDEX[label]))
    return examples


def draw(folder: Path, sources: tuple[Source, ...], seed: int) -> list[Example]:
    """One pass over the sources: from each its number of rows, without replacement, the same for the same seed."""
    examples: list[Example] = []
    for source in sources:
        rows = read(folder / source.file)
        if source.rows is not None and source.rows < len(rows):
            rows = random.Random(f"{seed}/{source.file}").sample(rows, source.rows)
        examples += rows
    return examples


def with_links(examples: list[Example], share: float, seed: int) -> list[Example]:
    """The examples, a share of them with `http` at one end.

    Links were taken out of the training texts, yet callers' texts hold them, so the model must learn that they mean nothing.
    """
    rng = random.Random(f"{seed}/links")
    out = []
    for example in examples:
        if rng.random() < share:
            text = f"{example.text} http" if rng.random() < 0.8 else f"http {example.text}"
            example = Example(text, example.label)
        out.append(example)
    return out


def batches(lengths: list[int], batch_size: int, seed: int, window: int = 50) -> list[list[int]]:
    """Shuffled batches of row numbers whose texts are of similar length, so that little of a batch is padding.

    Rows are shuffled, cut into windows of `window` batches, sorted by length inside a window; then the batches are shuffled.
    """
    rng = random.Random(f"{seed}/batches")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    out = []
    for start in range(0, len(order), window * batch_size):
        part = sorted(order[start : start + window * batch_size], key=lengths.__getitem__)
        out += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    rng.shuffle(out)
    return out
