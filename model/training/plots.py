"""Draws the pictures of the model card, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from model.training.metrics import ece
from model.training.metrics import reliability as points
from model.types import FloatArray, IntArray

# Text stays text in the SVG, and the same figures always give the same bytes.
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "sentiq", "font.size": 9}
mpl.rcParams |= {"axes.spines.top": False, "axes.spines.right": False}


def _write(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})


def reliability(answers: Sequence[tuple[str, FloatArray, IntArray]], path: Path) -> None:
    """Draws a reliability diagram for each (name, probabilities, labels): share of right answers against confidence."""
    columns = 3
    rows = -(-len(answers) // columns)
    figure = Figure(figsize=(3.1 * columns, 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, (name, probabilities, labels) in zip(axes, answers, strict=False):
        confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
        sure, right, _ = zip(*points(confidence, correct), strict=True)
        axis.plot([1 / 3, 1], [1 / 3, 1], color="0.7", linewidth=1)
        axis.plot(sure, right, marker="o", markersize=3, linewidth=1)
        axis.set(xlim=(1 / 3, 1), ylim=(0.2, 1), title=f"{name}\nECE {100 * ece(confidence, correct):.1f} %")
        axis.set(xlabel="confidence", ylabel="right answers")
    for axis in list(axes)[len(answers) :]:
        axis.set_axis_off()
    _write(figure, path)


@dataclass(frozen=True)
class Candidate:
    """A model in the comparison of accuracy and speed."""

    name: str
    texts_per_s: float
    macro_recall: float
    """Macro recall on the validation tweets, in per cent."""
    shipped: bool = False


def pareto(candidates: Sequence[Candidate], path: Path) -> None:
    """Draws macro recall against texts per second; the shipped model's mark is filled."""
    figure = Figure(figsize=(5.5, 3.5), layout="constrained")
    axis = figure.subplots()
    for one in candidates:
        axis.plot(
            one.texts_per_s, one.macro_recall, marker="o", color="C0", fillstyle="full" if one.shipped else "none"
        )
        axis.annotate(one.name, (one.texts_per_s, one.macro_recall), textcoords="offset points", xytext=(6, 4))
    axis.set(xlabel="texts a second, compiled engine", ylabel="macro recall, validation tweets, %")
    axis.margins(0.2)
    _write(figure, path)
