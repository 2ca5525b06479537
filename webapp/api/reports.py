"""`GET /jobs/{id}/report`: what a finished job's texts say together."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

import msgspec
from flask import Blueprint, Response, request

from model.labels import SENTIMENT
from tasks.errors import JobNotEnded
from tasks.jobs.job import TERMINAL, Job
from tasks.streams.job_labels import Counts, JobLabels, counts
from tasks.submit.away import redis_or_unavailable
from tasks.submit.jobs import JobService
from webapp.api.attachments import disposition
from webapp.api.jobs import found_job
from webapp.api.requests import list_header
from webapp.api.result_schemas import ReportQuery
from webapp.api.results import own_columns
from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.times import UnknownZone, zone_of
from webapp.report.asked import ROLES, Asked
from webapp.report.lines import columns_of, rows
from webapp.report.style import POLICY
from webapp.sandbox.process import Sandbox

_FORMATS = {"application/json": "json", "text/html": "html"}
_TYPES = {name: media_type for media_type, name in _FORMATS.items()}
DRAW = "draw"
"""Instead of a report: texts to be labelled, see `webapp.report.drawing`."""
Maker = Callable[[Job, ReportQuery, str], Iterator[bytes]]


def reports_blueprint(jobs: JobService, made: Maker) -> Blueprint:
    """The blueprint of the reports of jobs, which are made by what `report_maker` gives."""
    blueprint = Blueprint("reports", __name__)

    @blueprint.get("/jobs/<job_id>/report")
    def report(job_id: str) -> Response:
        query = ReportQuery.read(request.args.to_dict())
        job = found_job(jobs, job_id)
        list_header("Accept")
        mimetype = request.accept_mimetypes.best_match(list(_FORMATS), default="application/json")
        wanted = query.format or _FORMATS[mimetype or "application/json"]
        response = Response(mimetype=_TYPES[wanted])
        response.response = made(job, query, wanted)
        response.headers["Vary"] = "Accept"
        if wanted == "html":
            response.headers["Content-Security-Policy"] = f"{POLICY}; frame-ancestors 'none'; sandbox"
            response.headers["Content-Disposition"] = disposition(job, "-report.html", inline=True)
        return response

    return blueprint


def report_maker(jobs: JobService, labels: JobLabels, sandbox: Sandbox) -> Maker:
    """What makes the report of a job by a query, in a form of `webapp.report.asked`: whole, in pieces."""

    def made(job: Job, query: ReportQuery, wanted: str) -> Iterator[bytes]:
        if job.analysis != SENTIMENT:
            raise UploadRefused(
                422, "not_sentiment", "There are reports of sentiment alone; this job answers another question."
            )
        try:
            zone_of(query.tz)
        except UnknownZone as unknown:
            raise invalid_option(str(unknown)) from None
        if query.time is None and (query.dates is not None or query.bucket is not None):
            raise invalid_option("`dates` and `bucket` have no effect without `time`, the column of the times.")
        asked = {role: getattr(query, role) for role in ROLES}
        places = columns_of(job, asked)
        names = own_columns(job)
        if job.status not in TERMINAL:  # after the columns: whoever sends a file learns at once what is not in it
            raise JobNotEnded
        hand = Counts({}, frozenset(), frozenset())
        if wanted != DRAW:
            with redis_or_unavailable():
                hand = counts(labels.given(job), places[ROLES.index("segment")])
        given = Asked(
            format=wanted,
            job=job.id,
            model=job.model,
            status=job.status,
            created_at=job.created_at,
            made_at=time.time(),
            target=job.target,
            columns=tuple(None if place is None else names[place] for place in places),
            tz=query.tz,
            dates=query.dates,
            bucket=query.bucket,
            labelled=bool(hand.told),
            notes=tuple(_notes(hand)),
        )
        lines = rows(job, jobs.lines(job, 0, job.total), places, hand.told)
        return sandbox.report(lines, msgspec.to_builtins(given), job.total)

    return made


def _notes(hand: Counts) -> Iterator[str]:
    """What a reader should know of the labels that people gave to texts of the job."""
    if hand.told:
        yield f"People labelled {_texts(hand.told)} of this job, drawn at random; the report uses these labels."
    if hand.set_aside:
        yield (
            f"The labels of {_texts(hand.set_aside)} are set aside: too many texts before them were left out, so it is"
            " not sure that they are a random sample."
        )
    if hand.elsewhere:
        yield (
            f"The labels of {_texts(hand.elsewhere)} are not used here: they were drawn by the segments of another"
            " column, and count in the report by that one."
        )


def _texts(some: Collection[int]) -> str:
    return "1 text" if len(some) == 1 else f"{len(some):,} texts"
