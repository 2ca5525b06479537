"""Labels of a finished job: `GET /jobs/{id}/sample` gives texts to label, `/jobs/{id}/labels` takes the labels. The
job's report is corrected by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec
import orjson
from flask import Blueprint, Response, request

from tasks.errors import ResultsNotKept, SegmentNotFound
from tasks.jobs.job import PAGE_LINES, Job
from tasks.streams.job_labels import Draw, JobLabels, counts, text_id
from tasks.streams.labelled import agreements
from tasks.streams.labels import Given
from tasks.streams.measuring import Measured
from tasks.submit.away import redis_or_unavailable
from tasks.submit.jobs import JobService
from webapp.api.jobs import found_job
from webapp.api.label_schemas import JobLabelsQuery, JobSampleQuery, LabelsRequest
from webapp.api.reports import DRAW, Maker
from webapp.api.requests import json_body
from webapp.api.result_schemas import ReportQuery
from webapp.api.stream_labels import agreed, by_person, standing, taken
from webapp.reading.columns import nearest
from webapp.reading.refusals import invalid_option
from webapp.report.asked import ROLES
from webapp.report.lines import columns_of


class Labelling:
    """What people who label texts of jobs are given, and how far they are. Raises ServiceUnavailable when Redis is
    away.
    """

    def __init__(self, jobs: JobService, labels: JobLabels, made: Maker) -> None:
        """`made`: what `webapp.api.reports.report_maker` gives."""
        self.jobs = jobs
        self.labels = labels
        self._made = made

    def column(self, job: Job, segment: str | None) -> int | None:
        """The column by which the texts are told apart, by its name. Raises UploadRefused if there is none of it."""
        if job.is_passing:
            raise ResultsNotKept(job.stream_name or "")
        return columns_of(job, {"segment": segment or None})[ROLES.index("segment")]

    def kept(self, job: Job, column: int | None) -> Draw | None:
        """What was drawn of the job before; None if nothing was, or it is not kept any more."""
        with redis_or_unavailable():
            return self.labels.draw(job, column)

    def draw(self, job: Job, segment: str | None) -> Draw:
        """What is drawn of the job, of all lines or by the segments of a column: the first time, all of its lines are
        read, as for a report.

        Raises:
            JobNotEnded, UploadRefused, TooManyFiles: as for a report.
            TooManyLabelledJobs: of too many of the caller's jobs something was drawn.
        """
        column = self.column(job, segment)
        found = self.kept(job, column)
        if found is None:
            raw = b"".join(self._made(job, ReportQuery(segment=segment or None), DRAW))
            found = msgspec.json.decode(raw, type=Draw)
            with redis_or_unavailable():
                self.labels.keep(job, column, found)
        return found

    def given(self, job: Job) -> Given:
        """All that was given out and said of the job's texts."""
        with redis_or_unavailable():
            return self.labels.given(job)

    def offer(self, job: Job, query: JobSampleQuery) -> list[tuple[str, int]]:
        """Gives a person texts: their ids and positions.

        Raises:
            SegmentNotFound: nothing was drawn of the segment.
        """
        if query.value is not None and query.segment is None:
            raise invalid_option("`value` has no effect without `segment`, the column that has it.")
        by = None if query.value is None else query.segment
        column, draw = self.column(job, by), self.draw(job, by)
        segment = draw.segment(query.value or "")
        if segment is None:
            names = [one.name for one in draw.segments]
            raise SegmentNotFound(query.value or "", nearest(query.value or "", names), whose="job")
        with redis_or_unavailable():
            chosen = self.labels.offer(job, column, segment, query.by, query.limit)
        return [(text_id(column, position), position) for position in chosen]

    def texts(self, job: Job, positions: Sequence[int]) -> dict[int, str]:
        """The texts of lines."""
        found: dict[int, str] = {}
        wanted = set(positions)
        for _, group in groupby(sorted(wanted), lambda position: position // PAGE_LINES):
            near = list(group)
            lines = self.jobs.lines(job, near[0], near[-1] - near[0] + 1)
            found |= {line.position: line.entry.text for line in lines if line.position in wanted}
        return found


def segments_of(draw: Draw) -> dict[int, str]:
    """The segments of the lines that were drawn."""
    return {line.position: segment.name for segment in draw.segments for line in segment.lines}


def job_labels_blueprint(labelling: Labelling) -> Blueprint:
    """The blueprint of jobs' samples and labels."""
    blueprint = Blueprint("job_labels", __name__)
    jobs = labelling.jobs

    def progress(job: Job, segment: str | None) -> dict[str, object]:
        """How far the labels are, by the segments of a column if there is one, and how far people agree."""
        column, draw, given = labelling.column(job, segment), labelling.draw(job, segment), labelling.given(job)
        parts = draw.parts(counts(given, column))
        return {
            "labels": [standing(part.segment if column is not None else None, Measured([part])) for part in parts],
            "agreement": list(map(agreed, agreements(given.labels))),
        }

    @blueprint.get("/jobs/<job_id>/sample")
    def sample(job_id: str) -> Response:
        query = JobSampleQuery.read(request.args.to_dict())
        job = found_job(jobs, job_id)
        chosen = labelling.offer(job, query)
        texts = labelling.texts(job, [position for _, position in chosen])
        segments = segments_of(labelling.draw(job, query.segment)) if query.segment is not None else {}
        items = [
            {"id": id, "position": position, "text": texts[position], "segment": segments.get(position)}
            for id, position in chosen
        ]
        return Response(orjson.dumps({"items": items} | progress(job, query.segment)), mimetype="application/json")

    @blueprint.get("/jobs/<job_id>/labels")
    def standing_of(job_id: str) -> Response:
        query = JobLabelsQuery.read(request.args.to_dict())
        body = progress(found_job(jobs, job_id), query.segment)
        return Response(orjson.dumps(body), mimetype="application/json")

    @blueprint.post("/jobs/<job_id>/labels")
    def take(job_id: str) -> Response:
        query = JobLabelsQuery.read(request.args.to_dict())
        body = LabelsRequest.read_any(json_body())
        job = found_job(jobs, job_id)
        labelling.column(job, query.segment)
        with redis_or_unavailable():
            refused = [id for by, some in by_person(body).items() for id in labelling.labels.give(job, some, by)]
        return Response(orjson.dumps(taken(body, refused) | progress(job, query.segment)), mimetype="application/json")

    return blueprint
