"""Texts from `text<TAB>label` files: gzip, UTF-8, one header line, no quoting; unlabelled files hold `text` only."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.labels import LABELS
from model.text import clean
from model.types import FloatArray

_INDEX = {label.lower(): index for index, label in enumerate(LABELS)}


@dataclass(frozen=True)
class Example:
    """A cleaned text and what is known of its class."""

    text: str
    label: int | None
    """Index in `LABELS`; None in an unlabelled file."""
    file: str = ""
    """Where it came from, as `Source.file` names it."""
    row: int = 0
    """Its place in that file, from 0."""


@dataclass(frozen=True)
class Source:
    """A file, relative to the data's folder, and how many of its rows one pass draws (all, if None)."""

    file: str
    rows: int | None = None


def read(path: Path, name: str = "") -> list[Example]:
    """All rows of a file, cleaned as the service cleans.

    Raises:
        ValueError: a row is not one text, one tab and one of the three labels (or, where the header says `text` alone,
            has a tab); the message has its line number.
    """
    examples = []
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        labelled = next(lines).rstrip("\n") != "text"
        for number, line in enumerate(lines):
            text, tab, label = line.rstrip("\n").rpartition("\t") if labelled else (line.rstrip("\n"), "", "")
            if labelled and (not tab or label not in _INDEX):
                raise ValueError(f"{path}, line {number + 2}: expected text, a tab, and one of {', '.join(_INDEX)}")
            if not labelled and "\t" in text:
                raise ValueError(f"{path}, line {number + 2}: expected a text alone, as the header says")
            examples.append(Example(clean(text), _INDEX[label] if labelled else None, name or path.name, number))
    return examples


def draw(folder: Path, sources: tuple[Source, ...], seed: int) -> list[Example]:
    """One pass over the sources: from each its number of rows, without replacement, the same for the same seed."""
    examples: list[Example] = []
    for source in sources:
        rows = read(folder / source.file, source.file)
        if source.rows is not None and source.rows < len(rows):
            rows = random.Random(f"{seed}/{Path(source.file).name}").sample(rows, source.rows)
        examples += rows
    return examples


def log_priors(examples: list[Example]) -> dict[str, FloatArray]:
    """The logarithms of each file's class frequencies, shape (3,); noughts for a file without labels. A class unseen
    counts once.
    """
    out = {}
    for file in sorted({example.file for example in examples}):
        labels = [example.label for example in examples if example.file == file and example.label is not None]
        counts = np.maximum(np.bincount(labels, minlength=len(LABELS)), 1) if labels else np.ones(len(LABELS))
        out[file] = np.log(counts / counts.sum() if labels else counts).astype(np.float32)
    return out


def with_links(examples: list[Example], share: float, seed: int) -> list[Example]:
    """The examples, a share of them with `http` at one end.

    Links were taken out of the training texts, yet callers' texts hold them, so the model must learn that they mean
    nothing.
    """
    rng = random.Random(f"{seed}/links")
    out = []
    for example in examples:
        if rng.random() < share:
            text = f"{example.text} http" if rng.random() < 0.8 else f"http {example.text}"
            example = replace(example, text=text)
        out.append(example)
    return out


def batches(lengths: list[int], batch_size: int, seed: int, window: int = 50) -> list[list[int]]:
    """Shuffled batches of row numbers whose texts are of similar length, so that little of a batch is padding.

    Rows are shuffled, cut into windows of `window` batches, sorted by length inside a window; then the batches are
    shuffled.
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
