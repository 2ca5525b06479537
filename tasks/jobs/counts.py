"""How the outcomes of lines are counted. The one place of the job machine that knows the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from model.labels import LABELS
from tasks.store.outcomes import Failed, Outcome

LABEL_FIELDS = {label: f"label{index}" for index, label in enumerate(LABELS)}
"""For each label the field of a job's hash that counts its lines."""
_FAILED_FIELD = "failed"


def field_of(outcome: Outcome) -> str:
    """The field of a job's hash that grows by a line with this outcome."""
    return _FAILED_FIELD if isinstance(outcome, Failed) else LABEL_FIELDS[outcome.label]


def growth(lines: Counter[str]) -> dict[str, int]:
    """What the fields grow by when so many lines get outcomes, by the outcome's field."""
    return {**lines, "done": lines.total(), "revision": 1}


def by_label(facts: Mapping[str, str]) -> dict[str, int]:
    """A job's lines by label."""
    return {label: int(facts.get(field, 0)) for label, field in LABEL_FIELDS.items()}
