"""The page on which people label texts of a finished job, as `webapp.pages.label` is for streams."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from tasks.errors import SegmentNotFound
from tasks.jobs.job import TERMINAL
from tasks.streams.job_labels import counts
from tasks.streams.labelled import agreements
from tasks.streams.measuring import Measured
from webapp.api.job_labels import Labelling
from webapp.api.jobs import found_job
from webapp.api.results import own_columns
from webapp.api.stream_labels import standing
from webapp.pages.files import listed
from webapp.pages.label import MOST_PAIRS, agreed, said, told
from webapp.pages.page import RUNS_JOBS, Pages

AT_ONCE_LINES = 20_000
"""So many lines are looked through before the page is shown; of more, the page says that it takes a while."""


def add_job_label(blueprint: Blueprint, pages: Pages, labelling: Labelling) -> None:
    """Adds the addresses of the page."""

    @blueprint.get("/files/<job_id>/label")
    def job_label(job_id: str) -> Response:
        if not pages.may(RUNS_JOBS):
            return pages.show("label.html", needs=RUNS_JOBS)
        job = found_job(labelling.jobs, job_id)
        by, at = request.args.get("segment", ""), f"/jobs/{job.id}"
        column = labelling.column(job, by)
        query = f"?{urlencode({'segment': by})}" if column is not None else ""
        own_labels = request.args.get("label", "")
        roles = ({"segment": by} if column is not None else {}) | ({"label": own_labels} if own_labels else {})
        segments, ready = [], job.total <= AT_ONCE_LINES or labelling.kept(job, column) is not None
        if job.status in TERMINAL and ready:
            draw, given = labelling.draw(job, by), labelling.given(job)
            segments = [standing(part.segment, Measured([part])) for part in draw.parts(counts(given, column))]
        return pages.show(
            "label.html",
            needs=RUNS_JOBS,
            name=listed(job)["name"] or f"Job {job.id[:8]}",
            job=job.id,
            back=f"/files/{job.id}?{urlencode(roles)}#report",
            sample=f"{at}/sample",
            labels=f"{at}/labels{query}",
            part=f"/pages/files/{job.id}/labels",
            keeps=True,
            ended=job.status in TERMINAL,
            ready=ready,
            column=by if column is not None else None,
            own_labels=own_labels if own_labels in own_columns(job) else "",
            segments=segments,
            chosen=request.args.get("value"),
        )

    @blueprint.get("/pages/files/<job_id>/labels")
    def job_label_progress(job_id: str) -> Response:
        """How far the labels of a segment are, or those of all; and what the model said of the text before."""
        job = found_job(labelling.jobs, job_id)
        by, value = request.args.get("segment"), request.args.get("value")
        column, draw, given = labelling.column(job, by), labelling.draw(job, by), labelling.given(job)
        parts = draw.parts(counts(given, column))
        if value is not None:
            parts = [part for part in parts if part.segment == value]
            if not parts:
                raise SegmentNotFound(value, whose="job")
        me = request.args.get("by", "").strip()
        return pages.fragment(
            "label_progress.html",
            last=said(given, request.args.get("last", ""), me),
            agreement=[agreed(pair, me) for pair in agreements(given.labels)[:MOST_PAIRS]],
            **told(Measured(parts)),
        )
