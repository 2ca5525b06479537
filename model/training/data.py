"""Reads training texts from `text<TAB>label` files: gzip, UTF-8, one header line, no quoting.

Unlabelled files have the column `text` only.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.labels import LABELS
from model.text import clean
from model.training import made
from model.types import FloatArray

_FOLLOWED = "unlabelled/tweets.tsv.gz"
"""The texts that emoji are put after."""
_INDEX = {label.lower(): index for index, label in enumerate(LABELS)}


@dataclass(frozen=True)
class Example:
    """A cleaned text with its class, if that is known."""

    text: str
    label: int | None
    """The class as an index into `LABELS`; None if the file has no labels."""
    file: str = ""
    """The file that the text comes from, as `Source.file` names it."""
    row: int = 0
    """The text's position in that file, from 0."""
    twin: str = ""
    """The text with other names in it, whose answer is to be the same; empty if there is none."""
    said: str | None = None
    """How the teachers are to read the text, if otherwise than it is; empty if they are not asked."""
    given: tuple[float, ...] = ()
    """The class probabilities that are known of a text without a label and without a teacher."""


@dataclass(frozen=True)
class Source:
    """A file, relative to the data folder, and how many of its rows one pass draws (None: all).

    Texts that are made by rule are drawn by their name in `model.training.made`, like those of a file.
    """

    file: str
    rows: int | None = None


def read(path: Path, name: str = "") -> list[Example]:
    """Reads all rows of a file; texts are cleaned as in the service.

    Raises:
        ValueError: a row is not a text, a tab and one of the three labels, or has a tab although the header is `text`
            alone; the message has the line number.
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


def rows(folder: Path, file: str) -> list[Example]:
    """All texts of a file, or all that are made by rule under this name."""
    if file == made.EMOJI:
        from model.training.emoji import all_in_use  # needs torch, which reading files does not

        texts = [example.text for example in read(folder / _FOLLOWED)]
        found = made.emoji_texts(all_in_use(), made.judged(), texts)
    elif file == made.NOTHING:
        found = made.nothings()
    else:
        return read(folder / file, file)
    return [Example(clean(one.text), None, file, row, "", one.said, one.given) for row, one in enumerate(found)]


def draw(folder: Path, sources: tuple[Source, ...]) -> list[Example]:
    """One pass over the sources: draws each source's number of rows without replacement.

    Of a file the same rows are always drawn first: so teachers have scored what a student draws.
    """
    examples: list[Example] = []
    for source in sources:
        found = rows(folder, source.file)
        if source.rows is not None and source.rows < len(found):
            random.Random(Path(source.file).name).shuffle(found)
            found = found[: source.rows]
        examples += found
    return examples


def log_priors(examples: list[Example]) -> dict[str, FloatArray]:
    """The logarithms of the class frequencies of each file, shape (3,); zeros for a file without labels.

    A class that does not occur counts as if it had occurred once.
    """
    out = {}
    for file in sorted({example.file for example in examples}):
        labels = [example.label for example in examples if example.file == file and example.label is not None]
        counts = np.maximum(np.bincount(labels, minlength=len(LABELS)), 1) if labels else np.ones(len(LABELS))
        out[file] = np.log(counts / counts.sum() if labels else counts).astype(np.float32)
    return out


def with_links(examples: list[Example], share: float, seed: int) -> list[Example]:
    """The examples, with `http` added at the beginning or end of a share of them.

    The training texts come without links, but callers' texts contain them, so the model has to learn that they mean
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
    """Shuffled batches of row numbers, each of texts of similar length, so that little is padding.

    Rows are shuffled, cut into windows of `window` batches, and sorted by length inside each window; then the batches
    are shuffled.
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
