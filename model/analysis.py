"""An analysis: a question about a text, and the classes that answer it.

Everything that depends on the classes follows from one declaration: the columns of an engine's scores, the rows in
which outcomes are stored, the counts of a job, the label values of metrics, and the API's schemas. Sentiq ships one
analysis, sentiment (`model.labels`). To add another, write one file that declares an `Analysis` and name it in the
setting ANALYSIS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import import_module

from model.errors import AnalysisNotFound

MOST_CLASSES = 100
"""The largest number of classes: each one is a metrics series and a field of every job."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CLASS = re.compile(r"[^\W\d_][\w -]{0,63}|\d[\w -]{0,63}")
_SENTIMENT = "sentiment"
_SHIPPED = "model.labels:SENTIMENT"


@dataclass(frozen=True, slots=True)
class Analysis:
    """The declaration of an analysis. Raises ValueError if the analysis cannot be served."""

    name: str
    """The name in lower case; part of the model tag, so that two analyses never share a cached prediction."""
    classes: tuple[str, ...]
    """The labels that callers see, in the order of the columns of every score array."""
    aliases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For each class, the names (in lower case) that models use for it. A class's own name need not be listed."""
    numbered: tuple[str, ...] = ()
    """The classes that `LABEL_0`, `LABEL_1`, ... stand for, in a model with exactly as many classes of such names.

    If this is empty, their meaning is unknown and LABEL_MAP must give it."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name of an analysis must be in lower case, like `sentiment`, and not {self.name!r}")
        if not 2 <= len(self.classes) <= MOST_CLASSES or len({c.lower() for c in self.classes}) < len(self.classes):
            raise ValueError(f"an analysis must have 2 to {MOST_CLASSES} classes, all different in lower case too")
        for name in self.classes:
            if not _CLASS.fullmatch(name):
                raise ValueError(f"the name of a class may have letters, digits, blanks, - and _; {name!r} has others")
        if foreign := (set(self.aliases) | set(self.numbered)) - set(self.classes):
            raise ValueError(f"{', '.join(sorted(foreign))} is not a class of the analysis {self.name}")

    @property
    def suffix(self) -> str:
        """The end of the model tag, of engines' identities and of queue names.

        It is empty for sentiment, whose names are older than suffixes. For others it has a digest of the whole
        declaration, as the columns mean something else under another one.
        """
        if self.name == _SENTIMENT:
            return ""
        aliases = {label: sorted(names) for label, names in self.aliases.items()}
        declared = repr((self.classes, sorted(aliases.items()), self.numbered))
        return f"+{self.name}-{blake2b(declared.encode(), digest_size=3).hexdigest()}"

    def class_named(self, name: str) -> str | None:
        """The class that a model means by this name; None if it is unknown."""
        folded = name.strip().lower()
        for label in self.classes:
            if folded == label.lower() or folded in self.aliases.get(label, ()):
                return label
        return None


def decide(scores: Sequence[float]) -> int:
    """The index of the class that a text counts as: the highest score; if several are equal, the first of them."""
    return scores.index(max(scores))


def find_analysis(name: str) -> Analysis:
    """The analysis with this name: `sentiment`, or `package.module:NAME` for a declaration in your own module.

    Raises:
        AnalysisNotFound: no such analysis; the message says what was looked for.
    """
    if name == _SENTIMENT:
        name = _SHIPPED
    module, _, attribute = name.partition(":")
    if not attribute:
        raise AnalysisNotFound(f"there is no analysis {name!r}: give `{_SENTIMENT}` or package.module:NAME")
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # of any kind, as the module runs code of its own
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise AnalysisNotFound(f"the analysis {name} cannot be loaded: {why}") from error
    if not isinstance(found, Analysis):
        raise AnalysisNotFound(f"{name} is not an Analysis but a {type(found).__name__}")
    if found.name == _SENTIMENT and name != _SHIPPED:
        raise AnalysisNotFound(f"{name} calls itself {_SENTIMENT}, and that is the name of the one that Sentiq ships")
    return found
