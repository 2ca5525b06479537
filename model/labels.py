"""The sentiment analysis, and the mapping from a model's own class names to the classes of an analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from model.analysis import Analysis
from model.errors import UnknownLabels

if TYPE_CHECKING:
    from model.types import FloatArray


def _stars(*counts: int) -> frozenset[str]:
    return frozenset(
        f"{count}{blank}star{plural}" for count in counts for blank in (" ", "_", "") for plural in ("", "s")
    )


SENTIMENT = Analysis(
    name="sentiment",
    classes=("NEGATIVE", "NEUTRAL", "POSITIVE"),
    aliases={
        "NEGATIVE": frozenset({"neg", "negativ", "bearish"}) | _stars(1, 2),
        "NEUTRAL": frozenset({"neu"}) | _stars(3),
        "POSITIVE": frozenset({"pos", "positiv", "bullish"}) | _stars(4, 5),
    },
    # The order of the TweetEval models.
    numbered=("NEGATIVE", "NEUTRAL", "POSITIVE"),
)
LABELS = SENTIMENT.classes
"""The classes of the sentiment analysis, in the order of the columns of the score arrays."""


def label_matrix(
    names: list[str], label_map: Mapping[str, str] | None = None, analysis: Analysis = SENTIMENT
) -> FloatArray:
    """The 0/1 matrix that turns a model's class probabilities into those of an analysis.

    Args:
        names: the model's class names, in the order of its outputs.
        label_map: the user's own mapping from the model's class names to the analysis's; it takes precedence.
        analysis: the analysis whose classes are wanted.

    Returns:
        A matrix of shape (len(names), classes): `probabilities @ matrix` adds up the classes that mean the same label.

    Raises:
        UnknownLabels: a class of the model matches none of the analysis's. `LABEL_0`, `LABEL_1`, ... are accepted only
            where the analysis says what they mean for this number of classes (`Analysis.numbered`).
    """
    by_name = {label.lower(): label for label in analysis.classes}
    given = {key.lower(): value for key, value in (label_map or {}).items()}
    if unknown := sorted(value.upper() for value in given.values() if value.lower() not in by_name):
        raise UnknownLabels(f"LABEL_MAP maps to {', '.join(unknown)}; it may map only to {', '.join(analysis.classes)}")
    given = {key: by_name[value.lower()] for key, value in given.items()}
    numbered = [f"label_{i}" for i in range(len(analysis.numbered))]
    if numbered and [name.lower() for name in names] == numbered and not given:
        given = dict(zip(numbered, analysis.numbered, strict=True))
    labels = [given.get(name.lower()) or analysis.class_named(name) for name in names]
    if missing := [name for name, label in zip(names, labels, strict=True) if label is None]:
        first, last = analysis.classes[0], analysis.classes[-1]
        raise UnknownLabels(
            f"the model's classes {', '.join(missing)} fit none of {', '.join(analysis.classes)}; "
            f'set LABEL_MAP, for example {{"LABEL_0": "{first}", "LABEL_1": "{last}"}}'
        )
    import numpy as np  # not at the top: a web process needs the labels alone, and numpy is a tenth of its memory

    matrix = np.zeros((len(names), len(analysis.classes)), dtype=np.float32)
    for row, label in enumerate(labels):
        matrix[row, analysis.classes.index(str(label))] = 1.0
    return matrix
