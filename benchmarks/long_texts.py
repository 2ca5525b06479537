"""Which windows judge long texts best: the first page alone, windows of several sizes, or sentences.

    python -m benchmarks.long_texts FILE.tsv.gz ... [--documents 120] [--words 700] [--sizes 64 128 256]

Each file has a header and lines of `text<TAB>label`. There are no long labelled texts here, so documents are made:
texts are drawn at random, a part of them with the document's label (`share`), the others with another one; of `late`
documents the first two fifths are neutral. That is not how people write: it tells how much of a text is read, and how
well windows of a size are judged, not how right the label of a real review is. Prints macro recall in per cent, and how
many tokens of the texts are scored in a second of this process's time.
"""

from __future__ import annotations

import argparse
import gzip
import random
import time
from pathlib import Path

import numpy as np

from model.engine import Engine
from model.engines.registry import load_engine
from model.sentences import sentences
from model.text import clean
from model.types import FloatArray
from model.windows import windows

_KINDS = ((0.5, False), (0.7, False), (0.7, True))
"""Shares of texts with the document's label, and whether these come late."""
_SIZES = (32, 48, 64, 96, 128, 256)


def documents(
    by_label: dict[str, list[str]], share: float, words: int, number: int, *, late: bool
) -> list[tuple[str, str]]:
    """Documents of about so many words, with their labels."""
    chance = random.Random(7)
    labels = sorted(by_label)
    made = []
    for n in range(number):
        label = labels[n % len(labels)]
        parts: list[str] = []
        length = 0
        while length < words:
            if late and length < 0.4 * words:
                of = "neutral" if label != "neutral" else chance.choice(labels)
            elif chance.random() < share:
                of = label
            else:
                of = chance.choice([other for other in labels if other != label])
            text = chance.choice(by_label[of])
            parts.append(text if text[-1] in ".!?" else f"{text}.")
            length += len(text.split())
        made.append((" ".join(parts), label))
    return made


def means(engine: Engine, parts: list[list[tuple[str, int]]]) -> FloatArray:
    """For each text, the mean of its parts' scores by their weights."""
    scores = engine.score([text for some in parts for text, _ in some]).probabilities
    ends = np.cumsum([len(some) for some in parts])
    found = [
        np.average(scores[end - len(some) : end], axis=0, weights=[weight for _, weight in some])
        for some, end in zip(parts, ends, strict=True)
    ]
    return np.array(found, dtype=np.float32)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--documents", type=int, default=120)
    parser.add_argument("--words", type=int, default=700)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES)
    given = parser.parse_args()
    engine = load_engine("default", engine="compiled", device="cpu", threads=1)
    classes = [name.lower() for name in engine.analysis.classes]
    most = engine.description.max_tokens
    for path in given.files:
        with gzip.open(path, "rt") as file:
            rows = [line.rpartition("\t") for line in file.read().split("\n")[1:] if line]
        by_label = {name: [clean(text) for text, _, label in rows if label == name] for name in classes}
        for share, late in _KINDS:
            made = documents(by_label, share, given.words, given.documents, late=late)
            texts, gold = [text for text, _ in made], [label for _, label in made]
            found = {"first page": engine.score(texts).probabilities}
            speeds = {}
            for size in given.sizes:
                parts = [
                    [(one.text, one.tokens) for one in windows(text, engine.count, min(size, most))] for text in texts
                ]
                began = time.process_time()
                found[f"windows of {size}"] = means(engine, parts)
                tokens = sum(weight for some in parts for _, weight in some)
                speeds[f"windows of {size}"] = f"{tokens / (time.process_time() - began):,.0f} tokens/s"
            found["sentences"] = means(engine, [[(text[a:b], 1) for a, b in sentences(text)] for text in texts])
            print(f"{path.name} share {share} late {late}")
            for name, scores in found.items():
                told = [classes[row] for row in scores.argmax(1)]
                recalls = [
                    np.mean([t == g for t, g in zip(told, gold, strict=True) if g == label]) for label in classes
                ]
                print(f"  {name:<16} {100 * np.mean(recalls):.1f}  {speeds.get(name, '')}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
