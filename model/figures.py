"""How good the embedded model was measured to be, as `figures.json` beside its weights says."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FIGURES = "figures.json"
_FOLDER = Path(__file__).parent / "default"


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of each class's texts that got its label, in per cent."""

    NEGATIVE: float
    NEUTRAL: float
    POSITIVE: float


@dataclass(frozen=True, slots=True)
class FileFigures:
    """Figures of one labelled file, in per cent."""

    data: str
    """What the texts are."""
    split: str
    """`dev` (looked at while the model was made) or `test` (looked at once, at the end)."""
    texts: int
    macro_recall: float
    macro_f1: float
    accuracy: float
    ece: float
    """Expected calibration error over 15 bins of equal mass."""
    recall: Recall


def read_figures(identity: str, folder: Path = _FOLDER) -> list[FileFigures]:
    """The figures of this model, as measured on this engine; none if they are of another, or were never measured."""
    path = folder / FIGURES
    if not path.is_file():
        return []
    raw = json.loads(path.read_text())
    if raw["model"] != identity:
        return []
    return [FileFigures(**{**one, "recall": Recall(**one["recall"])}) for one in raw["figures"]]


def write_figures(identity: str, figures: list[FileFigures], folder: Path = _FOLDER) -> None:
    """Writes `figures.json`."""
    lines = ",\n  ".join(json.dumps(asdict(one)) for one in figures)
    (folder / FIGURES).write_text(f'{{"model": {json.dumps(identity)},\n "figures": [\n  {lines}\n]}}\n')
