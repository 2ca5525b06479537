"""`python -m model.training.evaluate`: measures the quality of an engine's answers on labelled files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from model.compiling import Compiling
from model.engine import Engine
from model.engines.registry import load_engine
from model.errors import ModelError
from model.figures import FileFigures, Recall
from model.labels import LABELS
from model.training import data, probing, quantification
from model.training import emoji as emoji_lists
from model.training import names as name_lists
from model.training.metrics import Metrics, known_labels, metrics
from model.types import FloatArray, IntArray

_CHUNK = 512


def scores(engine: Engine, texts: list[str], what: str) -> FloatArray:
    """The engine's probabilities, shape (len(texts), 3), with a progress bar where there is a terminal."""
    parts = [np.empty((0, len(LABELS)), dtype=np.float32)]
    with tqdm(total=len(texts), unit="text", desc=what, disable=None, leave=False) as bar:
        for start in range(0, len(texts), _CHUNK):
            parts.append(engine.score(texts[start : start + _CHUNK]).probabilities)
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def evaluate(engine: Engine, path: Path) -> tuple[Metrics, int, float]:
    """Measures one file: its metrics, its number of texts, and the seconds that scoring took."""
    examples = data.read(path)
    started = time.perf_counter()
    probabilities = scores(engine, [example.text for example in examples], path.name)
    seconds = time.perf_counter() - started
    return metrics(probabilities, known_labels(examples)), len(examples), seconds


def file_figures(name: str, split: str, probabilities: FloatArray, labels: IntArray) -> FileFigures:
    """The figures of one file in the form that the model card and `GET /model` have them."""
    found = metrics(probabilities, labels)
    macro_recall, macro_f1, accuracy, ece = (
        round(100 * x, 2) for x in (found.macro_recall, found.macro_f1, found.accuracy, found.ece)
    )
    recall = Recall(*(round(100 * value, 2) for value in found.recall))
    return FileFigures(name, split, len(labels), macro_recall, macro_f1, accuracy, ece, recall)


def main(
    files: Annotated[
        list[Path] | None, typer.Option("--data", help="A labelled file; may be given several times.", exists=True)
    ] = None,
    model: Annotated[str, typer.Option(help="`default`, a folder, or a Hugging Face name.")] = "default",
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit of a Hugging Face model.")] = None,
    engine: Annotated[str, typer.Option(help="auto, compiled, pipeline or stub.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = os.cpu_count() or 1,
    label_map: Annotated[
        str | None, typer.Option(help='The model\'s classes to ours, as JSON: {"LABEL_0": "NEGATIVE"}.')
    ] = None,
    compiled: Annotated[
        Path, typer.Option(help="Where compiled models are kept, as DATA_DIR/compiled of a service.")
    ] = Path("runs/compiled"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file instead of a table.")] = False,
    names: Annotated[
        bool, typer.Option("--names", help="How far the mean net of 1,500 sentences moves with the name in them.")
    ] = False,
    emoji: Annotated[bool, typer.Option("--emoji", help="Label and score of 300 emoji.")] = False,
    topics: Annotated[
        Path | None,
        typer.Option(
            "--topics", help="Shares of positive texts by topic: a CSV file with segment, text, gold.", exists=True
        ),
    ] = None,
) -> None:
    """Prints macro recall, macro F1, accuracy, ECE (15 bins of equal mass) and each class's recall, in per cent."""
    if not (files or names or emoji or topics):
        raise typer.BadParameter("give a file with --data or --topics, or --names, or --emoji")
    try:
        rows = quantification.read(topics) if topics else []
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        loaded = load_engine(
            model,
            revision=revision,
            engine=engine,
            device=device,
            batch_size=batch_size,
            threads=threads,
            label_map=json.loads(label_map) if label_map else None,
            compiling=Compiling(compiled),
        )
        loaded.warm()
    except ModelError as error:
        raise typer.BadParameter(str(error)) from error
    table = Table(
        "file", "texts", "macro recall", "macro F1", "accuracy", "ECE", *(label.lower() for label in LABELS), "texts/s"
    )
    table.title = f"{loaded.identity} on {loaded.device}"
    for path in files or ():
        measured, count, seconds = evaluate(loaded, path)
        values = (measured.macro_recall, measured.macro_f1, measured.accuracy, measured.ece, *measured.recall)
        if as_json:
            keys = ("macro_recall", "macro_f1", "accuracy", "ece", *(f"recall_{label.lower()}" for label in LABELS))
            rounded = {name: round(100 * value, 3) for name, value in zip(keys, values, strict=True)}
            print(
                json.dumps(
                    {
                        "model": loaded.identity,
                        "file": path.name,
                        "texts": count,
                        **rounded,
                        "seconds": round(seconds, 2),
                    }
                )
            )
        table.add_row(path.name, str(count), *(f"{100 * value:.2f}" for value in values), f"{count / seconds:.0f}")
    # A narrower console would cut off measured.
    console = Console(width=max(Console().width, 120))
    if files and not as_json:
        console.print(table)
    if names:
        console.print(probing.name_table(loaded, probing.score_names(loaded, name_lists.load().measured())))
    if emoji:
        signs = emoji_lists.all_in_use()
        console.print(probing.emoji_table(loaded, signs, probing.common(signs)))
    if topics:
        found = quantification.quantified(lambda texts: scores(loaded, texts, topics.name), rows)
        console.print(
            f"{found.topics} topics, {found.texts} texts: KLD {found.divergence:.3f}, "
            f"absolute error {100 * found.absolute_error:.1f} points"
        )


if __name__ == "__main__":
    typer.run(main)
