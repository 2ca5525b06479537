"""`POST /batch_predict` and the jobs it makes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Blueprint, Response, request, url_for

from model.labels import LABELS
from tasks.errors import JobNotFound
from tasks.jobs import Job, Line
from tasks.outcomes import Failed
from tasks.service import SentimentService
from webapp.requests import Preferences, json_body, preferences
from webapp.schemas import BatchRequest, ResultsQuery

_JOB_ID = re.compile(r"[0-9a-f]{32}")


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _job_body(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "cached": job.cached,
        "duplicates": job.duplicates,
        "labels": job.labels,
        "model": job.model,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "expires_at": _time(job.expires_at),
        "links": {"self": url_for("jobs.job", job_id=job.id), "results": url_for("jobs.results", job_id=job.id)},
    }


def _line_body(line: Line) -> dict[str, Any]:
    body: dict[str, Any] = {"position": line.position, "text": line.text}
    if line.outcome is None:
        return body | {"status": "pending"}
    if isinstance(line.outcome, Failed):
        return body | {"status": "failed", "error": {"code": line.outcome.code}}
    return body | {
        "status": "done",
        "label": line.outcome.label,
        "confidence": line.outcome.confidence,
        "scores": dict(zip(LABELS, line.outcome.scores, strict=True)),
        "truncated": line.outcome.truncated,
        "cached": line.cached,
        "model": line.model,
    }


def accepted(job: Job, prefer: Preferences) -> Response:
    """202 with the job's address: the answer will be there."""
    response = Response(orjson.dumps(_job_body(job)), status=202, mimetype="application/json")
    response.headers["Location"] = url_for("jobs.job", job_id=job.id)
    response.headers["Retry-After"] = "1"
    if prefer.applied is not None:
        response.headers["Preference-Applied"] = prefer.applied
    return response


def jobs_blueprint(sentiment: SentimentService) -> Blueprint:
    """The blueprint of `/batch_predict` and `/jobs`."""
    blueprint = Blueprint("jobs", __name__)

    @blueprint.post("/batch_predict")
    def batch_predict() -> Response:
        texts = BatchRequest.model_validate(json_body()).texts
        return accepted(sentiment.submit(texts), preferences())

    def find(job_id: str, wait_s: float = 0.0) -> Job:
        if _JOB_ID.fullmatch(job_id) is None:
            raise JobNotFound
        return sentiment.job(job_id, wait_s)

    @blueprint.get("/jobs/<job_id>")
    def job(job_id: str) -> Response:
        prefer = preferences()
        response = Response(orjson.dumps(_job_body(find(job_id, prefer.wait_or(0.0)))), mimetype="application/json")
        if prefer.applied is not None:
            response.headers["Preference-Applied"] = prefer.applied
        return response

    @blueprint.get("/jobs/<job_id>/results")
    def results(job_id: str) -> Response:
        query = ResultsQuery.model_validate(request.args.to_dict())
        found = find(job_id)
        lines = sentiment.lines(found, query.cursor, query.limit)
        end = query.cursor + query.limit
        body = {
            "job": _job_body(found),
            "items": [_line_body(line) for line in lines],
            "next": url_for("jobs.results", job_id=job_id, cursor=end, limit=query.limit) if end < found.total else None,
        }
        return Response(orjson.dumps(body), mimetype="application/json")

    return blueprint
