"""How the outcomes of lines are counted: by the index of their class. The classes' names are a fact of each job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from model.warnings import NOT_MENTIONED
from tasks.store.outcomes import Failed, Outcome

_FAILED_FIELD = "failed"
_REFUSED_FIELD = "unsupported_language"


def label_field(index: int) -> str:
    """The field of a job's hash that counts the lines of a class."""
    return f"label{index}"


def field_of(outcome: Outcome) -> str:
    """The field of a job's hash that grows by a line with this outcome."""
    if isinstance(outcome, Failed):
        return NOT_MENTIONED if outcome.code == NOT_MENTIONED else _FAILED_FIELD
    return _REFUSED_FIELD if outcome.remarks.refused else label_field(outcome.decided)


def growth(lines: Counter[str]) -> dict[str, int]:
    """The increments of a job's fields when lines get outcomes; `lines` are their numbers by the outcome's field."""
    return {**lines, "done": lines.total(), "revision": 1}


def by_label(facts: Mapping[str, str], classes: Sequence[str]) -> dict[str, int]:
    """A job's numbers of lines by label, from its hash."""
    return {label: int(facts.get(label_field(index), 0)) for index, label in enumerate(classes)}
