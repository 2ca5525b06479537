"""The three labels, and how a foreign model's own label names are mapped to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from model.errors import UnknownLabels

if TYPE_CHECKING:
    from model.types import FloatArray

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
"""The order of the columns of every score array."""

_ALIASES = {
    "NEGATIVE": {"negative", "neg", "negativ", "bearish"},
    "NEUTRAL": {"neutral", "neu"},
    "POSITIVE": {"positive", "pos", "positiv", "bullish"},
}
_STARS = re.compile(r"^([1-5])[ _]?stars?$")
_STAR_LABEL = ("NEGATIVE", "NEGATIVE", "NEUTRAL", "POSITIVE", "POSITIVE")


def _mapped(name: str) -> str | None:
    folded = name.strip().lower()
    for label, aliases in _ALIASES.items():
        if folded in aliases:
            return label
    if (stars := _STARS.match(folded)) is not None:
        return _STAR_LABEL[int(stars[1]) - 1]
    return None


def label_matrix(names: list[str], label_map: Mapping[str, str] | None = None) -> FloatArray:
    """The 0/1 matrix that turns a model's class probabilities into ours.

    Args:
        names: the model's class names, in the order of its outputs.
        label_map: the user's own mapping from a class name to one of `LABELS`; it wins over what we know.

    Returns:
        Shape (len(names), 3): `probabilities @ matrix` adds up the classes that mean the same label.

    Raises:
        UnknownLabels: a class fits none of the three. `LABEL_0..2` is accepted as negative, neutral, positive
            (the order of the TweetEval models); with two or more than three such classes nothing tells the order.
    """
    given = {key.lower(): value.upper() for key, value in (label_map or {}).items()}
    if unknown := sorted(set(given.values()) - set(LABELS)):
        raise UnknownLabels(f"the label map leads to {', '.join(unknown)}; it may lead to {', '.join(LABELS)} only")
    bare = [f"label_{i}" for i in range(3)]
    if [name.lower() for name in names] == bare and not given:
        given = dict(zip(bare, LABELS, strict=True))
    labels = [given.get(name.lower()) or _mapped(name) for name in names]
    if missing := [name for name, label in zip(names, labels, strict=True) if label is None]:
        raise UnknownLabels(
            f"the model's classes {', '.join(missing)} fit none of {', '.join(LABELS)}; "
            'give LABEL_MAP, for example {"LABEL_0": "NEGATIVE", "LABEL_1": "POSITIVE"}'
        )
    import numpy as np  # here: a web process wants the labels alone, and numpy would be a tenth of its memory

    matrix = np.zeros((len(names), len(LABELS)), dtype=np.float32)
    for row, label in enumerate(labels):
        matrix[row, LABELS.index(str(label))] = 1.0
    return matrix
