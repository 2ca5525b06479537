"""The measured quality of the embedded model, stored in `figures.json` beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FIGURES = "figures.json"
_FOLDER = Path(__file__).parent / "default"


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall of each class in per cent: the share of its texts that the model labelled correctly."""

    NEGATIVE: float
    NEUTRAL: float
    POSITIVE: float


@dataclass(frozen=True, slots=True)
class FileFigures:
    """The quality measured on one labelled file, in per cent."""

    data: str
    """The name of the data set."""
    split: str
    """`dev` (used for choices while the model was made) or `test` (used once, at the end)."""
    texts: int
    macro_recall: float
    macro_f1: float
    accuracy: float
    ece: float
    """Expected calibration error over 15 bins with equal numbers of answers."""
    recall: Recall


def read_figures(identity: str, folder: Path = _FOLDER) -> list[FileFigures]:
    """The figures for this model identity; empty if they were never measured or belong to another identity."""
    path = folder / FIGURES
    if not path.is_file():
        return []
    raw = json.loads(path.read_text())
    if raw["model"] != identity.partition("~")[0]:  # what follows changes no score: see `tasks.loading`
        return []
    return [FileFigures(**{**one, "recall": Recall(**one["recall"])}) for one in raw["figures"]]


def write_figures(identity: str, figures: list[FileFigures], folder: Path = _FOLDER) -> None:
    """Writes `figures.json` into the folder."""
    lines = ",\n  ".join(json.dumps(asdict(one)) for one in figures)
    (folder / FIGURES).write_text(f'{{"model": {json.dumps(identity)},\n "figures": [\n  {lines}\n]}}\n')
