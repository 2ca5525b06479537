"""The sentiment analysis, and the mapping from a model's own class names to the classes of an analysis."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

_SHOWN = 20
"""Of more classes than these, a message names the first ones."""
OWN = "classification"
"""The name of the analysis whose classes are a model's own."""


@dataclass(frozen=True, slots=True)
class Classes:
    """What the outputs of a model mean."""

    names: tuple[str, ...]
    """The model's own class names, in the order of its outputs."""
    mapped: tuple[str, ...]
    """For each of `names`, the class of the analysis that it counts as."""
    analysis: Analysis
    guessed: bool = False
    """Whether the names say nothing (`LABEL_0`, ...) and their usual meaning was taken."""

    @property
    def two_class(self) -> bool:
        """Whether no class of the model counts as one of the analysis's classes, whose score is then always 0."""
        return not set(self.mapped).issuperset(self.analysis.classes)

    @property
    def matrix(self) -> FloatArray:
        """A 0/1 matrix of shape (names, classes): `probabilities @ matrix` adds up the names that mean one class."""
        import numpy as np  # not at the top: a web process needs the names alone, and numpy is a tenth of its memory

        matrix = np.zeros((len(self.names), len(self.analysis.classes)), dtype=np.float32)
        for row, label in enumerate(self.mapped):
            matrix[row, self.analysis.classes.index(label)] = 1.0
        return matrix


def understood(
    names: Sequence[str], label_map: Mapping[str, str] | None = None, analysis: Analysis = SENTIMENT
) -> Classes:
    """Finds for each class of a model the class of the analysis that it counts as.

    Args:
        names: the model's class names, in the order of its outputs.
        label_map: the user's own mapping from the model's class names to the analysis's; it takes precedence.
        analysis: the analysis whose classes are wanted.

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
    guessed = bool(numbered) and [name.lower() for name in names] == numbered and not given
    if guessed:
        given = dict(zip(numbered, analysis.numbered, strict=True))
    mapped = [given.get(name.lower()) or analysis.class_named(name) for name in names]
    if missing := [name for name, label in zip(names, mapped, strict=True) if label is None]:
        example = json.dumps({name: label or "?" for name, label in zip(names[:_SHOWN], mapped, strict=False)})
        if len(names) > _SHOWN:
            example = f"{example[:-1]}, ...}}"
        raise UnknownLabels(
            f"the model's classes {_listed(missing)} fit none of {', '.join(analysis.classes)}; say what they mean,"
            f" LABEL_MAP='{example}' with one of these for each ?, or serve the model's classes as they are: LABELS=own"
        )
    return Classes(tuple(names), tuple(str(label) for label in mapped), analysis, guessed)


def own_classes(names: Sequence[str]) -> Analysis:
    """The analysis whose classes are the model's own, in the order of its outputs.

    Names are kept as they are, except for characters that the name of a class may not have: `_` takes their place.

    Raises:
        UnknownLabels: two names are the same without such characters, or one of them has no others; or there are too
            many.
    """
    classes = tuple(re.sub(r"[^\w -]+", "_", name.strip()).lstrip("_- ")[:64] for name in names)
    try:
        return Analysis(
            OWN,
            classes,
            {label: frozenset({name.strip().lower()}) for label, name in zip(classes, names, strict=True)},
        )
    except ValueError as error:
        raise UnknownLabels(f"the model's classes {_listed(names)} cannot be served as they are: {error}") from error


def _listed(names: Sequence[str]) -> str:
    """Names of a model's classes for a message: whoever made the model may have called them anything."""
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
