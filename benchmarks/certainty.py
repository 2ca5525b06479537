"""`python -m benchmarks.certainty DATA`: how right the embedded model is among the answers that it is surest of.

Prints the table of the model's card, from the labelled files in `DATA/dev`, and the threshold of `uncertain`: the
lowest confidence above which 80 % of the answers to all files together are right. `--write` puts it into the manifest.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.digests import read_manifest
from model.engines.registry import load_engine
from model.source import DEFAULT_FOLDER
from model.training import data
from model.training.evaluate import scores
from model.training.metrics import known_labels
from model.types import BoolArray, FloatArray

RIGHT = 0.8
"""The share of answers that has to be right."""
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""The shares of texts that the table has."""


def threshold(confidence: FloatArray, right: BoolArray, wanted: float = RIGHT) -> float:
    """The lowest confidence, in steps of 0.005, such that of the answers with at least that the wanted share is right.

    Above it the share does not fall below what is wanted either.
    """
    found = 1.0
    for below in np.arange(1.0, 0.0, -0.005):
        answered = confidence >= below
        if answered.sum() >= 100 and right[answered].mean() < wanted:
            break
        found = float(below)
    return round(found, 3)


def main(
    folder: Annotated[Path, typer.Argument(help="Holds the folder `dev`.", exists=True)],
    write: Annotated[bool, typer.Option(help="Put the threshold into the manifest of the embedded model.")] = False,
) -> None:
    """Prints accuracy against the share of texts that are answered, in per cent, and the threshold."""
    engine = load_engine("default", threads=0)
    engine.warm()
    found: dict[str, tuple[FloatArray, BoolArray]] = {}
    for path in sorted((folder / "dev").glob("*.tsv.gz")):
        examples = data.read(path)
        probabilities = scores(engine, [example.text for example in examples], path.name)
        right = probabilities.argmax(1) == known_labels(examples)
        found[path.name.removesuffix(".tsv.gz")] = probabilities.max(1), right
    confidence, right = (np.concatenate(parts) for parts in zip(*found.values(), strict=True))
    everything = confidence, right
    below = threshold(confidence, right)
    print(engine.identity)
    print("| share answered | confidence from | all files | " + " | ".join(found) + " |")
    print("|---" * (len(found) + 3) + "|")
    for share in SHARES:
        least = float(np.quantile(confidence, 1 - share)) if share < 1 else 0.0
        print(_row(f"{share:.0%}", least, [everything, *found.values()]))
    print(_row(f"**{(confidence >= below).mean():.1%}**", below, [everything, *found.values()]))
    print(f"threshold: {below}")
    if write:
        replace(read_manifest(DEFAULT_FOLDER), uncertain_below=below).write(DEFAULT_FOLDER)


def _row(name: str, least: float, files: list[tuple[FloatArray, BoolArray]]) -> str:
    cells = [
        f"{100 * right[confidence >= least].mean():.1f} ({(confidence >= least).mean():.0%})"
        for confidence, right in files
    ]
    return f"| {name} | {least:.3f} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    typer.run(main)
