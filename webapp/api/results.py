"""A job's lines as JSON, NDJSON and CSV; the last two are streams of any length."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson

from model.analysis import Analysis
from tasks.jobs.job import PAGE_LINES, Job, JobStatus, Line
from tasks.store.outcomes import Failed

_BEFORE_SCORES = ("position", "status", "label", "confidence")
_AFTER_SCORES = ("truncated", "error", "model")
Fetch = Callable[[Job, int, int], list[Line]]
"""Reads lines of a job, from a position on and at most so many."""


def _status(job: Job | None, line: Line) -> str:
    if line.outcome is None:
        return "cancelled" if job is not None and job.status is JobStatus.CANCELLED else "pending"
    return "failed" if isinstance(line.outcome, Failed) else "done"


def line_body(job: Job | None, line: Line, classes: Sequence[str]) -> dict[str, object]:
    """One line as it is written in JSON. `job` is None for a text that was answered without a job; `classes` name the
    scores.
    """
    entry, outcome = line.entry, line.outcome
    body: dict[str, object] = {"position": line.position}
    if entry.id is not None:
        body["id"] = entry.id
    if job is not None and job.header is not None:
        others = [name for index, name in enumerate(job.header.names) if index != job.header.text]
        body["columns"] = dict(zip(others, entry.columns, strict=True))
    body |= {"text": entry.text, "status": _status(job, line)}
    if isinstance(outcome, Failed):
        body["error"] = {"code": outcome.code}
    elif outcome is not None:
        body |= {
            "label": classes[outcome.decided],
            "confidence": outcome.confidence,
            "scores": dict(zip(classes, outcome.scores, strict=True)),
            "truncated": outcome.truncated,
            "cached": line.cached,
            "model": line.model,
        }
    return body


def ndjson(job: Job, lines: Sequence[Line]) -> bytes:
    """Lines as NDJSON."""
    return b"".join(orjson.dumps(line_body(job, line, job.analysis.classes)) + b"\n" for line in lines)


def csv_header(job: Job) -> bytes:
    """The names of the columns: those of the upload, then those of the result, with `sentiq_` before a name that is
    taken. The scores of a class are in the column of its name in lower case, with `score_` before it if the result has
    another column of that name.
    """
    own = list(job.header.names) if job.header is not None else (["id", "text"] if job.has_ids else ["text"])
    taken = set(own)
    return _csv([[*own, *(f"sentiq_{name}" if name in taken else name for name in _result_columns(job.analysis))]])


def _result_columns(analysis: Analysis) -> list[str]:
    scores = [label.lower() for label in analysis.classes]
    ours = {*_BEFORE_SCORES, *_AFTER_SCORES}
    return [*_BEFORE_SCORES, *(f"score_{name}" if name in ours else name for name in scores), *_AFTER_SCORES]


def csv_rows(job: Job, lines: Sequence[Line]) -> bytes:
    """Lines as CSV."""
    return _csv([*_own_fields(job, line), *_result_fields(job, line)] for line in lines)


def _own_fields(job: Job, line: Line) -> list[object]:
    entry = line.entry
    if job.header is not None:
        at = job.header.text
        return [*entry.columns[:at], entry.text, *entry.columns[at:]]
    return [entry.id, entry.text] if job.has_ids else [entry.text]


def _result_fields(job: Job, line: Line) -> list[object]:
    outcome, classes = line.outcome, len(job.analysis.classes)
    head = [line.position, _status(job, line)]
    if outcome is None:
        return [*head, *[None] * (5 + classes)]
    if isinstance(outcome, Failed):
        return [*head, *[None] * (3 + classes), outcome.code, None]
    label, truncated = job.analysis.classes[outcome.decided], str(outcome.truncated).lower()
    return [*head, label, outcome.confidence, *outcome.scores, truncated, None, line.model]


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def stream(
    job: Job, fetch: Fetch, start: int, limit: int | None, write: Callable[[Job, Sequence[Line]], bytes]
) -> Iterator[bytes]:
    """Writes the lines from `start` on, page by page."""
    stop = job.total if limit is None else min(job.total, start + limit)
    for position in range(start, stop, PAGE_LINES):
        yield write(job, fetch(job, position, min(PAGE_LINES, stop - position)))


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compresses the pieces with gzip."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
