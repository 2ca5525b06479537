"""Files: `/files`, where one is dropped and looked at before it is sent, and `/files/{job}`, what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from pydantic import ConfigDict, Field

from model.labels import SENTIMENT
from model.warnings import NOT_MENTIONED, WARNINGS
from tasks.jobs.job import TERMINAL, Job, JobStatus, Line
from tasks.store.outcomes import Failed
from tasks.submit.jobs import JobService
from webapp.api.job_schemas import JobsQuery
from webapp.api.jobs import found_job, job_body
from webapp.api.received import body_pieces, drain, received
from webapp.api.reports import Maker
from webapp.api.result_schemas import ReportQuery
from webapp.api.results import MOST_ROWS, own_columns, own_fields
from webapp.api.schemas import Asked
from webapp.front.visit import caller
from webapp.pages.looking import LOOK_LINES, NO_LABEL, ROWS, Order, Wanted, cells, confidence_of, label_of, look
from webapp.pages.page import RUNS_JOBS, Pages
from webapp.pages.preview import Preview, preview, suggested
from webapp.reading.refusals import MalformedJson, UploadRefused
from webapp.reading.texts import Found, Limits, Texts
from webapp.report.lines import columns_of
from webapp.sandbox.process import Sandbox

HEAD_BYTES = 256 * 1024
"""So much of the beginning of a file of text is looked at."""
WHOLE_BYTES = 16 * 1024 * 1024
"""Spreadsheets and their like are looked at whole, up to this size."""
_MULTIPART_BYTES = 256 * 1024
_SAMPLE = 50
"""Lines by which it is told which columns may be what."""
_SHOWN = 400
"""Characters of a text that are shown at once."""
_MOST_SHOWN = 20_000
_CELL = 200
_ERRORS = {
    "empty_text": "There is no text in this line.",
    "text_too_long": "The text is too long to be scored.",
    "text_beyond_model": "The text is longer than the model reads.",
    "malformed_line": "This line could not be read.",
    NOT_MENTIONED: WARNINGS[NOT_MENTIONED],
}
_ENCODINGS = (
    "utf-8",
    "utf-16",
    "cp1252",
    "cp1250",
    "cp1251",
    "iso8859-15",
    "koi8-r",
    "mac-roman",
    "shift_jis",
    "gb18030",
    "big5",
    "euc-kr",
)


class PreviewQuery(Asked):
    """What is said of a file besides how it is read."""

    model_config = ConfigDict(extra="forbid")

    cut: bool = False
    size: Annotated[int, Field(ge=0, le=2**53)] = 0
    chosen: bool = False
    """Whether the columns below are a person's choice; otherwise they are suggested."""
    time: str = ""
    segment: str = ""
    label: str = ""


class RowsQuery(Asked):
    """Which lines are to be shown."""

    model_config = ConfigDict(extra="forbid")

    at: Annotated[int, Field(ge=0, le=2**53)] = 0
    order: Order = "file"
    label: str = ""
    words: Annotated[str, Field(max_length=200)] = ""
    value: Annotated[str, Field(max_length=300)] = ""
    time: str = ""
    segment: str = ""
    confidence: Annotated[float | None, Field(allow_inf_nan=False)] = None
    position: Annotated[int, Field(ge=-1, le=2**53)] = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A line as it is shown."""

    position: int
    label: str | None
    confidence: float | None
    text: str
    rest: str
    left: int
    """Characters that are not shown at all."""
    time: str
    segment: str
    notes: tuple[str, ...]
    pending: bool


def add_files(
    blueprint: Blueprint, pages: Pages, jobs: JobService, limits: Limits, sandbox: Sandbox, made: Maker
) -> None:
    """Adds the addresses of the page to the pages' blueprint.

    Args:
        blueprint: the pages'.
        pages: shows them.
        jobs: keeps jobs.
        limits: how much of a file is read.
        sandbox: unpacks spreadsheets.
        made: makes reports.
    """
    most = Limits(WHOLE_BYTES + _MULTIPART_BYTES, limits.max_line_bytes)

    @blueprint.get("/files")
    def files() -> Response:
        if not pages.may(RUNS_JOBS):
            return pages.show("files.html", needs=RUNS_JOBS)
        query = JobsQuery.read(request.args.to_dict())
        before = None
        if query.cursor is not None:
            created_at, _, job_id = query.cursor.partition("-")
            before = (float(created_at), job_id)
        found, end = jobs.newest(before, None, query.limit, caller().sees)
        following = None if end is None else urlencode({"limit": query.limit, "cursor": f"{end[0]!r}-{end[1]}"})
        return pages.show(
            "files.html",
            needs=RUNS_JOBS,
            jobs=[listed(job) for job in found if not job.is_passing and not _is_one_text(job)],
            following=following,
            first=before is None,
            head_bytes=HEAD_BYTES,
            whole_bytes=WHOLE_BYTES,
            max_bytes=limits.max_bytes,
        )

    @blueprint.get("/files/<job_id>")
    def file(job_id: str) -> Response:
        if not pages.may(RUNS_JOBS):
            return pages.show("job.html", needs=RUNS_JOBS)
        job = found_job(jobs, job_id)
        names = own_columns(job)
        sample = (
            [] if job.is_passing else [tuple(map(_cell, own_fields(job, one))) for one in jobs.lines(job, 0, _SAMPLE)]
        )
        text = job.header.text if job.header is not None else len(names) - 1
        likely = suggested(names, sample, text)
        chosen = {role: request.args.get(role, likely.get(role, "")) for role in ("time", "segment", "label", "author")}
        return pages.show(
            "job.html",
            needs=RUNS_JOBS,
            job=listed(job),
            told=job_body(job),
            names=[name for place, name in enumerate(names) if place != text],
            chosen={role: name if name in names else "" for role, name in chosen.items()},
            classes=job.analysis.classes,
            no_label=NO_LABEL,
            reports=job.analysis == SENTIMENT and not job.is_passing,
            sheets=job.total < MOST_ROWS,
            look_lines=LOOK_LINES,
        )

    @blueprint.post("/pages/files/preview")
    def preview_file() -> Response:
        query = PreviewQuery.read(request.args.to_dict())
        body = body_pieces()

        def read(found: Found) -> Texts:
            return received(body, most, sandbox.unpack, found=found, cut=query.cut)

        seen: Preview | None = None
        refusal: dict[str, object] | None = None
        found = Found()
        try:
            seen = preview(read, found, cut=query.cut)
        except UploadRefused as refused:
            refusal = {"code": refused.code, "detail": str(refused), "line": refused.line}
        except MalformedJson:
            refusal = {"code": "malformed_json", "detail": "The file is called JSON, but is none.", "line": None}
        finally:
            drain(body)
        roles = {"time": query.time, "segment": query.segment, "label": query.label}
        if seen is not None and not query.chosen:
            roles = suggested(seen.names, seen.rows, seen.text)
        return pages.fragment(
            "_preview.html",
            seen=seen,
            found=found,
            refusal=refusal,
            roles=roles,
            cut=query.cut,
            encodings=_ENCODINGS,
        )

    @blueprint.get("/pages/files/<job_id>/rows")
    def file_rows(job_id: str) -> Response:
        query = RowsQuery.read(request.args.to_dict())
        job = found_job(jobs, job_id)
        time_at, segment_at = columns_of_roles(job, query.time, query.segment)
        wanted = Wanted(
            label=query.label or None,
            segment=segment_at,
            value=query.value if segment_at is not None else "",
            words=query.words.strip(),
            order=query.order,
            after=None if query.confidence is None else (query.confidence, query.position),
        )
        looked = look(job, jobs.lines(job, query.at, LOOK_LINES), query.at, wanted)
        return pages.fragment(
            "_rows.html",
            rows=[_row(job, line, cells(job, line, (time_at, segment_at))) for line in looked.lines],
            looked=looked,
            seen_values=list(looked.values),
            total=job.total,
            page_rows=ROWS,
            time=query.time if time_at is not None else "",
            segment=query.segment if segment_at is not None else "",
        )

    @blueprint.get("/pages/files/<job_id>/report")
    def file_report(job_id: str) -> Response:
        query = ReportQuery.read({name: value for name, value in request.args.items() if value})
        job = found_job(jobs, job_id)
        return Response(made(job, query, "fragment"), mimetype="text/html")


def _is_one_text(job: Job) -> bool:
    """Whether the job is no file but a single text, as of the page that tries texts while the workers are busy."""
    return job.total == 1 and job.name is None and job.source is None and job.header is None


def columns_of_roles(job: Job, time: str, segment: str) -> tuple[int | None, int | None]:
    """Where the columns of the times and of the segments are."""
    found = columns_of(job, {"time": time or None, "segment": segment or None})
    return found[0], found[1]


def listed(job: Job) -> dict[str, object]:
    """A job as lists of jobs and its page show it."""
    total = sum(job.labels.values())
    source = job.source
    return {
        "id": job.id,
        "status": str(job.status),
        "ended": job.status in TERMINAL,
        "running": job.status in (JobStatus.RUNNING, JobStatus.QUEUED),
        "total": job.total,
        "done": job.done,
        "labels": [(name, count, count / total if total else 0.0) for name, count in job.labels.items()],
        "name": job.name or (source.file if source is not None else None) or "",
        "created": moment(job.created_at),
        "expires": moment(job.expires_at),
        "owner": job.owner if caller().is_admin else None,
    }


def moment(seconds: float) -> tuple[str, str]:
    """A time for a `<time>`: for programs, and for people whose browser runs no script."""
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}", f"{when.day} {when:%b %Y, %H:%M} UTC"


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _row(job: Job, line: Line, told: list[str]) -> Row:
    text, outcome = line.entry.text, line.outcome
    notes: tuple[str, ...] = ()
    if isinstance(outcome, Failed):
        notes = (_ERRORS.get(outcome.code, f"It could not be scored ({outcome.code})."),)
    elif outcome is not None:
        notes = tuple(WARNINGS.get(warning, warning) for warning in outcome.remarks.warnings)
    time, segment = (one if len(one) <= _CELL else f"{one[: _CELL - 1]}…" for one in told)
    return Row(
        position=line.position,
        label=label_of(job, line),
        confidence=confidence_of(line),
        text=text[:_SHOWN],
        rest=text[_SHOWN:_MOST_SHOWN],
        left=max(0, len(text) - _MOST_SHOWN),
        time=time,
        segment=segment,
        notes=notes,
        pending=outcome is None,
    )
