"""A job's lines as rows for the process that makes the report: what the model said, the text, and the cells of the
columns that were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from model.labels import LABELS
from model.warnings import NOT_MENTIONED
from tasks.jobs.job import Job, Line
from tasks.store.outcomes import Failed
from webapp.api.results import own_columns, own_fields
from webapp.reading.columns import nearest, places
from webapp.reading.names import listed, quoted
from webapp.reading.refusals import UploadRefused
from webapp.report.asked import ROLES
from webapp.report.kinds import FAILED, NOT_ABOUT, SCORED, UNANSWERED, UNREAD

_LABEL = 5 + ROLES.index("label")
"""Where a row has its label."""


def columns_of(job: Job, asked: Mapping[str, str | None]) -> list[int | None]:
    """Where the columns that were asked for are, in the order of ROLES; None for those that were not.

    Raises:
        UploadRefused: the job has no column of that name, or two.
    """
    names = own_columns(job)
    return [_place(names, name) if (name := asked.get(role)) is not None else None for role in ROLES]


def _place(names: list[str], name: str) -> int:
    found = places(names, name) or [
        place for place, other in enumerate(names) if other.strip().casefold() == name.strip().casefold() != ""
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UploadRefused(422, "unknown_column", f"The job has two columns {quoted(name)}.")
    near = nearest(name, names)
    perhaps = f" Do you mean {quoted(near)}?" if near is not None else ""
    raise UploadRefused(
        422, "unknown_column", f"The job has no column {quoted(name)}.{perhaps} Its columns are {listed(names)}."
    )


def rows(
    job: Job, lines: Iterable[Line], columns: list[int | None], labels: Mapping[int, int] | None = None
) -> Iterator[list[object]]:
    """One row for each line: its kind, its three scores (0 if it has none), its text, and the cells of the columns.

    Args:
        job: the job.
        lines: its lines.
        columns: where the columns for ROLES are.
        labels: the classes that people gave to texts, by their positions, in place of the cells of that column.
    """
    labels = labels or {}
    wanted = bool(labels) or any(place is not None for place in columns)
    for line in lines:
        outcome = line.outcome
        scores: tuple[float, ...] = (0.0, 0.0, 0.0)
        if outcome is None:
            kind = UNANSWERED
        elif isinstance(outcome, Failed):
            kind = NOT_ABOUT if outcome.code == NOT_MENTIONED else FAILED
        elif outcome.remarks.refused:
            kind = UNREAD
        else:
            kind, scores = SCORED, outcome.scores
        row: list[object] = [kind, *scores, line.entry.text]
        if wanted:
            fields = own_fields(job, line)
            row += [None if place is None else fields[place] for place in columns]
            if (label := labels.get(line.position)) is not None:
                row[_LABEL] = LABELS[label]
        yield row
