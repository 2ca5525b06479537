"""The operations of `/batch_predict` and `/jobs` in the OpenAPI document, and the callbacks at the end of jobs."""

from __future__ import annotations

from typing import Any

from webapp.api import callback_schemas, job_schemas, result_schemas
from webapp.api.operations import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    PREFER,
    REQUEST_ID,
    RETRY_AFTER,
    callback,
    content,
    file_of,
    location,
    ok,
    operation,
    problems,
    query_parameters,
    upload_types,
)
from webapp.api.report_schemas import ReportResponse

_PREFER_BATCH = PREFER | {
    "description": "RFC 7240: `return=representation` answers a JSON batch of up to 100 texts with the predictions"
    " themselves, and makes a job of it only if that takes longer than PREDICT_TIMEOUT;"
    " `wait=N` waits up to N seconds (60 at most).",
    "schema": {"type": "string", "examples": ["return=representation", "return=representation, wait=10", "wait=10"]},
}


def accepted() -> dict[str, Any]:
    """202 with a job."""
    return ok(
        "Accepted: the answer will be at the job's address.",
        job_schemas.JobResponse,
        **location("The job's address."),
        **{"Retry-After": RETRY_AFTER},
    )


def _upload_body() -> dict[str, Any]:
    form = {  # not an object with a field `file`: what openapi-generator makes of that does not compile
        "type": "object",
        "additionalProperties": {"type": "string", "format": "binary"},
        "minProperties": 1,
        "description": "One file of these types, in a field of any name, recognised by its type or name; the parameters"
        " of the query may be fields before it.",
    }
    return {
        "required": True,
        "description": "Any of these types, optionally compressed with gzip (`Content-Encoding: gzip`)."
        " All but objects of JSON is read as a stream.",
        "content": {
            **content(job_schemas.BatchBody),
            **upload_types(),
            "multipart/form-data": {"schema": form},
        },
    }


def job_paths(job_id: dict[str, Any]) -> dict[str, Any]:
    """The paths of jobs with their operations. `job_id`: the parameter of the path."""
    lines = ok(
        "The job's lines: a page as JSON, or all as NDJSON, CSV or a spreadsheet, chosen by `Accept` or ?format=.",
        result_schemas.ResultsResponse,
    )
    lines["content"] |= {
        "application/x-ndjson": file_of("One LineResponse to a line."),
        "text/csv": file_of("The upload's own columns, then those of the result."),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": file_of("The same as a spreadsheet."),
    }
    ended = ("jobEnded", "The job has ended", callback_schemas.JobEnded)
    return {
        "/batch_predict": {
            "post": operation(
                "batchPredict",
                "Score many texts as a job",
                "jobs",
                {
                    "200": ok(
                        "The predictions, where `Prefer: return=representation` asked for them; no job was made.",
                        result_schemas.BatchResponse,
                    ),
                    "202": accepted(),
                    **problems(400, 404, 408, 409, 413, 415, 422, 429, 503),
                },
                requestBody=_upload_body(),
                parameters=[*query_parameters(job_schemas.UploadQuery), _PREFER_BATCH, IDEMPOTENCY_KEY],
                callbacks=callback(*ended, "{$request.query.callback_url}")
                | callback(f"{ended[0]}OfJson", *ended[1:], "{$request.body#/callback_url}"),
            )
        },
        "/jobs": {
            "get": operation(
                "listJobs",
                "List jobs, the newest first",
                "jobs",
                {"200": ok("A page of jobs.", job_schemas.JobsResponse), **problems(422, 503)},
                parameters=query_parameters(job_schemas.JobsQuery),
            )
        },
        "/jobs/{job_id}": {
            "get": operation(
                "getJob",
                "Get a job's state and counts",
                "jobs",
                {"200": ok("The job.", job_schemas.JobResponse), **problems(404, 503)},
                parameters=[job_id, PREFER],
            ),
            "delete": operation(
                "cancelJob",
                "Cancel a job; what is done stays readable. With ?purge=1, remove a job that has ended",
                "jobs",
                {
                    "202": accepted(),
                    "204": {"description": "The job is removed, with its lines and results."},
                    **problems(404, 409, 422, 503),
                },
                parameters=[job_id, *query_parameters(job_schemas.DeleteQuery)],
            ),
        },
        "/jobs/{job_id}/events": {
            "get": operation(
                "getJobEvents",
                "Follow a job by server-sent events: `progress` at each change, `end` at its end; each holds the job",
                "jobs",
                {
                    "200": {
                        "description": "The stream.",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    },
                    "204": {
                        "description": "The job has ended, and Last-Event-ID says that the caller has seen its end."
                    },
                    **problems(404, 503),
                },
                parameters=[job_id, LAST_EVENT_ID],
            )
        },
        "/jobs/{job_id}/results": {
            "get": operation(
                "getJobResults",
                "Get a job's lines, in the order in which they were sent",
                "jobs",
                {"200": lines, **problems(404, 422, 503)},
                parameters=[job_id, *query_parameters(result_schemas.ResultsQuery)],
            )
        },
        "/jobs/{job_id}/report": {
            "get": operation(
                "getJobReport",
                "Get what an ended job's texts say together: shares, differences, series and shifts",
                "jobs",
                {
                    "200": {
                        "description": "The report, as JSON or as a page that stands alone, chosen by `Accept` or"
                        " ?format=. docs/reports.md describes it.",
                        "headers": {"X-Request-ID": REQUEST_ID},
                        "content": {
                            **content(ReportResponse),
                            "text/html": file_of("A page that stands alone."),
                        },
                    },
                    **problems(404, 409, 413, 422, 503),
                },
                parameters=[job_id, *query_parameters(result_schemas.ReportQuery)],
            )
        },
    }
