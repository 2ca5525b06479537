"""What an analysis is: a question about a text, and the classes that answer it.

Everything that depends on the classes is driven by one declaration: the columns of an engine's scores, the rows in
which outcomes are stored, the counts of a job, the label values of metrics, and the API's schemas. Sentiment is the
analysis that Sentiq ships (`model.labels`). Another one is one file that declares an `Analysis`; the setting ANALYSIS
names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from model.errors import AnalysisNotFound

MOST_CLASSES = 100
"""Each class is a series of the metrics and a field of every job."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CLASS = re.compile(r"[^\W\d_][\w -]{0,63}|\d[\w -]{0,63}")
_SENTIMENT = "sentiment"


@dataclass(frozen=True, slots=True)
class Analysis:
    """One declaration. Raises ValueError if it cannot be served."""

    name: str
    """Lower case; part of the model tag, so that two analyses never share a cached prediction."""
    classes: tuple[str, ...]
    """The labels that a caller sees, in the order of the columns of every score array."""
    aliases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For a class, the names in lower case by which models call it; its own name in lower case always counts."""
    numbered: tuple[str, ...] = ()
    """The classes that `LABEL_0`, `LABEL_1`, ... stand for in a model with so many classes of these names. Empty: they
    stand for nothing that we know, and LABEL_MAP must say it."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name of an analysis must be in lower case, like `sentiment`, and not {self.name!r}")
        if not 2 <= len(self.classes) <= MOST_CLASSES or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"an analysis must have 2 to {MOST_CLASSES} classes, all different")
        for name in self.classes:
            if not _CLASS.fullmatch(name):
                raise ValueError(f"the name of a class may have letters, digits, blanks, - and _; {name!r} has others")
        if foreign := (set(self.aliases) | set(self.numbered)) - set(self.classes):
            raise ValueError(f"{', '.join(sorted(foreign))} is not a class of the analysis {self.name}")

    def decide(self, scores: Sequence[float]) -> int:
        """The class that a text is counted under, as an index: the one with the highest score, the first of equals."""
        return max(range(len(scores)), key=scores.__getitem__)

    def class_named(self, name: str) -> str | None:
        """The class that a model calls by this name; None if nothing tells."""
        folded = name.strip().lower()
        for label in self.classes:
            if folded == label.lower() or folded in self.aliases.get(label, ()):
                return label
        return None


def find_analysis(name: str) -> Analysis:
    """The analysis of this name: `sentiment`, or `package.module:NAME` for a declaration in a file of one's own.

    Raises:
        AnalysisNotFound: there is none; the message says what was looked for.
    """
    if name == _SENTIMENT:
        name = "model.labels:SENTIMENT"
    module, _, attribute = name.partition(":")
    if not attribute:
        raise AnalysisNotFound(f"there is no analysis {name!r}: give `{_SENTIMENT}` or package.module:NAME")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise AnalysisNotFound(f"the analysis {name} cannot be loaded: {error}") from error
    if not isinstance(found, Analysis):
        raise AnalysisNotFound(f"{name} is not an Analysis but a {type(found).__name__}")
    return found
