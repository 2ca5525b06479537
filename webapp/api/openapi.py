"""The OpenAPI document, put together from the schemas. It is kept out of the views, so that documentation costs a
request nothing.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from model.analysis import Analysis
from model.labels import SENTIMENT
from webapp.api import health_schemas, job_schemas, prediction_schemas, queue_schemas, result_schemas, schemas
from webapp.api.label_openapi import LABEL_MODELS, job_label_paths
from webapp.api.operations import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    PREFER,
    REF,
    REQUEST_ID,
    RETRY_AFTER,
    body,
    content,
    location,
    ok,
    operation,
    problems,
    query_parameters,
    upload_types,
)
from webapp.api.report_schemas import ReportResponse
from webapp.api.stream_openapi import STREAM_MODELS, stream_paths

_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (prediction_schemas.PredictRequest, "validation"),
    (job_schemas.BatchRequest, "validation"),
    *[
        (model, "serialization")
        for model in (
            prediction_schemas.PredictionResponse,
            job_schemas.JobResponse,
            job_schemas.JobsResponse,
            result_schemas.LineResponse,
            result_schemas.BatchResponse,
            result_schemas.ResultsResponse,
            health_schemas.ModelResponse,
            ReportResponse,
            health_schemas.HealthResponse,
            health_schemas.LiveResponse,
            queue_schemas.QueueResponse,
            queue_schemas.PurgeResponse,
            schemas.Problem,
        )
    ],
]
_PREFER_BATCH = PREFER | {
    "description": "RFC 7240: `return=representation` answers a JSON batch of up to 100 texts with the predictions"
    " themselves, and makes a job of it only if that takes longer than PREDICT_TIMEOUT;"
    " `wait=N` waits up to N seconds (60 at most).",
    "schema": {"type": "string", "examples": ["return=representation", "return=representation, wait=10", "wait=10"]},
}
_RATE_LIMITS = {
    "RateLimit-Limit": {
        "description": "Texts that are allowed in one window, where a limit is set. With 429, of the limit that has"
        " refused: texts, for `storage_quota_exceeded` bytes, for `too_many_jobs` jobs.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Remaining": {
        "description": "What is left of that, as far as this process knows.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Reset": {
        "description": "Seconds until the next window, or until there may be more.",
        "schema": {"type": "integer"},
    },
}
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the service has keys."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key in a header of its own.",
    },
}


_TAGS = {
    "predictions": "One text, answered at once.",
    "jobs": "Files and batches of texts, answered as they are ready.",
    "streams": "Texts that go on coming in, counted over time.",
    "health": "What the service needs, and its metrics.",
}
"""The groups of the operations, in the order in which they are shown."""


def _upload_body() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["file"],
        "description": "One file of these types, recognised by its type or name; the parameters of the query may be"
        " fields before it.",
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
    json = {
        "anyOf": [
            {"$ref": REF.format(model=job_schemas.BatchRequest.__name__)},
            {
                "type": "array",
                "minItems": 1,
                "items": {"type": ["string", "object", "null"]},
                "description": 'Strings, or objects as in NDJSON. It may be the value of a key: `{"data": [...]}`.',
            },
        ]
    }
    return {
        "required": True,
        "description": "Any of these types, optionally compressed with gzip (`Content-Encoding: gzip`)."
        " All but objects of JSON is read as a stream.",
        "content": {"application/json": {"schema": json}, **upload_types(), "multipart/form-data": {"schema": form}},
    }


def _one_of(analysis: Analysis) -> str:
    first, *others = analysis.classes
    return f"{', '.join(reversed(others))} or {first}"


def application_version() -> str:
    """The installed version of the application."""
    try:
        return version("sentiq")
    except PackageNotFoundError:
        return "0+unknown"


def _definitions(analysis: Analysis) -> dict[str, Any]:
    """The schemas of all bodies, with the classes of the analysis."""
    models = [*_MODELS, *([*LABEL_MODELS, *STREAM_MODELS] if analysis == SENTIMENT else ())]
    definitions: dict[str, Any] = models_json_schema(models, ref_template=REF)[1]["$defs"]
    for model, highest in ((prediction_schemas.Scores, 1), (health_schemas.Recall, 100)):
        share = {"maximum": highest, "minimum": 0}
        definitions[model.__name__] = {
            "description": model.__doc__,
            "properties": {name: share | {"title": _title(name), "type": "number"} for name in analysis.classes},
            "required": list(analysis.classes),
            "title": model.__name__,
            "type": "object",
        }
    _fill_in(definitions, list(analysis.classes))
    return definitions


def _title(name: str) -> str:
    """The title that pydantic derives from a field's name."""
    return name.title().replace("_", " ")


def _fill_in(schema: Any, labels: list[str]) -> None:
    """Puts the labels into every enumeration that was left empty for them."""
    if isinstance(schema, dict):
        if schema.get("enum") == []:
            schema["enum"] = labels
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _fill_in(part, labels)


def openapi_document(analysis: Analysis = SENTIMENT, prefix: str = "", *, has_keys: bool = True) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all endpoints, for a service of this analysis below this path. `has_keys`: whether
    callers need an API key.
    """
    job_id = {
        "name": "job_id",
        "in": "path",
        "required": True,
        "description": "The job's id, as the 202 answer gives it.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    accepted = ok(
        "Accepted: the answer will be at the job's address.",
        job_schemas.JobResponse,
        **location("The job's address."),
        **{"Retry-After": RETRY_AFTER},
    )
    unready = ok("Redis or a worker is missing.", health_schemas.HealthResponse, **{"Retry-After": RETRY_AFTER})
    lines = ok(
        "The job's lines: a page as JSON, or all as NDJSON or CSV, chosen by `Accept` or ?format=.",
        result_schemas.ResultsResponse,
    )
    lines["content"] |= {
        "application/x-ndjson": {"schema": {"type": "string", "description": "One LineResponse to a line."}},
        "text/csv": {
            "schema": {"type": "string", "description": "The upload's own columns, then those of the result."}
        },
    }
    health = {
        "200": ok("Redis answers, and a worker of each role is ready.", health_schemas.HealthResponse),
        "503": unready,
    }
    paths: dict[str, Any] = {
        "/predict": {
            "post": operation(
                "predict",
                "Score one text",
                "predictions",
                {
                    "200": ok("The prediction.", prediction_schemas.PredictionResponse),
                    "202": accepted,
                    **problems(400, 413, 415, 422, 429, 503),
                },
                requestBody=body(prediction_schemas.PredictRequest),
                parameters=[PREFER],
            )
        },
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
                    "202": accepted,
                    **problems(400, 408, 409, 413, 415, 422, 429, 503),
                },
                requestBody=_upload_body(),
                parameters=[*query_parameters(job_schemas.UploadQuery), _PREFER_BATCH, IDEMPOTENCY_KEY],
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
                    "202": accepted,
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
                            "text/html": {"schema": {"type": "string"}},
                        },
                    },
                    **problems(404, 409, 413, 422, 503),
                },
                parameters=[job_id, *query_parameters(result_schemas.ReportQuery)],
            )
        },
        **(job_label_paths(job_id) if analysis == SENTIMENT else {}),  # there are reports of sentiment alone
        **(stream_paths() if analysis == SENTIMENT else {}),  # there are streams of sentiment alone
        "/model": {
            "get": operation(
                "model",
                "Get the model that answers, and how good it was measured to be",
                "predictions",
                {"200": ok("The model.", health_schemas.ModelResponse), **problems(422, 503)},
                parameters=query_parameters(health_schemas.ModelQuery),
            )
        },
        "/queue": {
            "get": operation(
                "queue",
                "Get what waits to be scored, by key and model",
                "health",
                {"200": ok("What waits.", queue_schemas.QueueResponse), **problems(503)},
            ),
            "delete": operation(
                "purgeQueue",
                "Cancel all jobs that have not ended, of all keys, and empty the queues",
                "health",
                {"200": ok("What was given up.", queue_schemas.PurgeResponse), **problems(503)},
            ),
        },
        "/health": {"get": operation("health", "Check what the service needs, and what is missing", "health", health)},
        "/health/ready": {
            "get": operation(
                "ready",
                "The same check, for probes",
                "health",
                {**health, **problems(422)},
                parameters=query_parameters(health_schemas.ReadyQuery),
            )
        },
        "/health/live": {
            "get": operation(
                "live",
                "Check that the process answers",
                "health",
                {"200": ok("The process answers.", health_schemas.LiveResponse)},
            )
        },
        "/metrics": {
            "get": operation(
                "metrics",
                "Get the metrics for Prometheus",
                "health",
                {
                    "200": {
                        "description": "Text exposition format.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            )
        },
    }
    for path, operations in paths.items():
        for one in operations.values():
            if not path.startswith("/health"):
                one["responses"] |= problems(401, 403, 421)
                if has_keys:
                    one["security"] = [{"bearer": []}, {"header": []}]
            if "429" in one["responses"]:
                for response in one["responses"].values():
                    response["headers"] |= _RATE_LIMITS
    tags = {tag for operations in paths.values() for one in operations.values() for tag in one["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sentiq",
            "version": application_version(),
            "description": f"Self-hosted {analysis.name}: {_one_of(analysis)}, a confidence, and the scores behind it.",
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": name, "description": told} for name, told in _TAGS.items() if name in tags],
        "paths": paths,
        "components": {"schemas": _definitions(analysis), **({"securitySchemes": _KEYS} if has_keys else {})},
    }
