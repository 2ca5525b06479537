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
from webapp.api import (
    callback_schemas,
    health_schemas,
    job_schemas,
    prediction_schemas,
    queue_schemas,
    result_schemas,
    schemas,
)
from webapp.api.job_openapi import accepted, job_paths
from webapp.api.label_openapi import LABEL_MODELS, job_label_paths
from webapp.api.operations import (
    PREFER,
    RETRY_AFTER,
    body,
    ok,
    operation,
    problems,
    query_parameters,
)
from webapp.api.report_schemas import ReportResponse
from webapp.api.schemas import REF
from webapp.api.stream_openapi import STREAM_MODELS, stream_paths

_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (prediction_schemas.PredictRequest, "validation"),
    (job_schemas.BatchRequest, "validation"),
    (job_schemas.BatchText, "validation"),
    (job_schemas.BatchBody, "validation"),
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
            callback_schemas.JobEnded,
            schemas.Problem,
        )
    ],
]
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
    """Puts the labels into every enumeration that was left empty for them, and takes defaults away: generators of
    clients take a field with a default for one that is always there, and want it in requests, too.
    """
    if isinstance(schema, dict):
        if not isinstance(schema.get("default"), dict):  # else it is a field of that name
            schema.pop("default", None)
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
    unready = ok("Redis or a worker is missing.", health_schemas.HealthResponse, **{"Retry-After": RETRY_AFTER})
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
                    "202": accepted(),
                    **problems(400, 404, 413, 415, 422, 429, 503),
                },
                requestBody=body(prediction_schemas.PredictRequest),
                parameters=[PREFER],
            )
        },
        **job_paths(job_id),
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
