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
from webapp.api import schemas, shift_schemas

_REF = "#/components/schemas/{model}"
_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (schemas.PredictRequest, "validation"),
    (schemas.BatchRequest, "validation"),
    *[
        (model, "serialization")
        for model in (
            schemas.PredictionResponse,
            schemas.JobResponse,
            schemas.JobsResponse,
            schemas.LineResponse,
            schemas.BatchResponse,
            schemas.ResultsResponse,
            shift_schemas.ShiftsResponse,
            schemas.ModelResponse,
            schemas.HealthResponse,
            schemas.LiveResponse,
            schemas.Problem,
        )
    ],
]
_PROBLEMS = {
    401: "No API key, or an unknown one; only where the service has keys.",
    403: "The key's scopes do not allow this; or the request comes from a page of another site,"
    " which CORS_ORIGINS does not list.",
    400: "The body is not JSON, is cut off, or the request is malformed.",
    404: "No job has this id: it never existed, or it has expired.",
    408: "No text of the upload came for too long.",
    409: "The Idempotency-Key was used for another request, or its first request has not finished yet;"
    " or the job was cancelled while its texts were still coming in.",
    413: "The body, a line or the job is larger than the limits allow.",
    415: "The body is of a type that this endpoint does not read.",
    422: "A field, a line or a text cannot be accepted.",
    421: "The host name of the request is not in ALLOWED_HOSTS; only where the service has no keys.",
    429: "Too many texts are waiting, or the caller has sent more than its limits allow;"
    " try again after `Retry-After` seconds.",
    503: "Redis is away, or no worker serves the model that was asked for. Nothing was accepted.",
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "RFC 7240: `wait=N` waits up to N seconds (60 at most); `respond-async` does not wait at all.",
    "schema": {"type": "string", "examples": ["wait=10", "respond-async"]},
}
_PREFER_BATCH = _PREFER | {
    "description": "RFC 7240: `return=representation` answers a JSON batch of up to 100 texts with the predictions"
    " themselves, and makes a job of it only if that takes longer than PREDICT_TIMEOUT;"
    " `wait=N` waits up to N seconds (60 at most).",
    "schema": {"type": "string", "examples": ["return=representation", "return=representation, wait=10", "wait=10"]},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Remembered for a day: the same key with the same texts gives the same job, with other texts 409.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that was seen; only later ones are sent.",
    "schema": {"type": "string"},
}
_UPLOADS = {
    "application/x-ndjson": "Each line is a JSON string, or an object with `text` (or ?column=) and optionally `id`;"
    " other keys come back with the result, and blank lines are ignored.",
    "text/csv": "The first row names the columns. The column `text` (or ?column=) holds the texts;"
    " the other columns come back with the result.",
    "text/tab-separated-values": "As CSV, with tabs between the columns.",
    "text/plain": "Each line is a text, even an empty one.",
    "multipart/form-data": "One file of these types, recognised by its type or name;"
    " the parameters of the query may be fields before it.",
}
_REQUEST_ID = {"description": "The request's id: yours, if you sent one.", "schema": {"type": "string"}}
_RATE_LIMITS = {
    "RateLimit-Limit": {
        "description": "Texts that are allowed in one window, where a limit is set.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Remaining": {
        "description": "Texts that are left in this window, as far as this process knows.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Reset": {"description": "Seconds until the next window.", "schema": {"type": "integer"}},
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
_RETRY_AFTER = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 1}}


def _content(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _ok(description: str, model: type[BaseModel], **headers: Any) -> dict[str, Any]:
    return {"description": description, "headers": {"X-Request-ID": _REQUEST_ID, **headers}, "content": _content(model)}


def _problems(*statuses: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for status in statuses:
        headers = {"X-Request-ID": _REQUEST_ID} | ({"Retry-After": _RETRY_AFTER} if status in (409, 429, 503) else {})
        out[str(status)] = {
            "description": _PROBLEMS[status],
            "headers": headers,
            "content": _content(schemas.Problem, "application/problem+json"),
        }
    return out


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    properties = model.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "description": schema.pop("description", ""), "schema": schema}
        for name, schema in properties.items()
    ]


def _operation(operation_id: str, summary: str, tag: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": operation_id, "summary": summary, "tags": [tag], "responses": responses} | more


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": _content(model)}


def _upload_body() -> dict[str, Any]:
    types: dict[str, Any] = {
        mimetype: {"schema": {"type": "string", "format": "binary", "description": text}}
        for mimetype, text in _UPLOADS.items()
    }
    types["multipart/form-data"]["schema"] = {
        "type": "object",
        "required": ["file"],
        "description": _UPLOADS["multipart/form-data"],
        "properties": {
            **{name: {"type": "string"} for name in schemas.UploadQuery.model_fields},
            "file": {"type": "string", "format": "binary"},
        },
    }
    json = {
        "anyOf": [
            {"$ref": _REF.format(model=schemas.BatchRequest.__name__)},
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
        "content": {"application/json": {"schema": json}} | types,
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
    definitions: dict[str, Any] = models_json_schema(_MODELS, ref_template=_REF)[1]["$defs"]
    for model, highest in ((schemas.Scores, 1), (schemas.Recall, 100)):
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


def openapi_document(analysis: Analysis = SENTIMENT, prefix: str = "") -> dict[str, Any]:
    """The OpenAPI 3.1 document of all endpoints, for a service of this analysis below this path."""
    location = {"description": "The job's address.", "schema": {"type": "string"}}
    stream_name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "The stream's name.",
        "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
    }
    job_id = {
        "name": "job_id",
        "in": "path",
        "required": True,
        "description": "The job's id, as the 202 answer gives it.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    accepted = _ok(
        "Accepted: the answer will be at the job's address.",
        schemas.JobResponse,
        Location=location,
        **{"Retry-After": _RETRY_AFTER},
    )
    unready = _ok("Redis or a worker is missing.", schemas.HealthResponse, **{"Retry-After": _RETRY_AFTER})
    lines = _ok(
        "The job's lines: a page as JSON, or all as NDJSON or CSV, chosen by `Accept` or ?format=.",
        schemas.ResultsResponse,
    )
    lines["content"] |= {
        "application/x-ndjson": {"schema": {"type": "string", "description": "One LineResponse to a line."}},
        "text/csv": {
            "schema": {"type": "string", "description": "The upload's own columns, then those of the result."}
        },
    }
    health = {"200": _ok("Redis answers, and a worker of each role is ready.", schemas.HealthResponse), "503": unready}
    paths: dict[str, Any] = {
        "/predict": {
            "post": _operation(
                "predict",
                "Score one text",
                "predictions",
                {
                    "200": _ok("The prediction.", schemas.PredictionResponse),
                    "202": accepted,
                    **_problems(400, 413, 415, 422, 429, 503),
                },
                requestBody=_body(schemas.PredictRequest),
                parameters=[_PREFER],
            )
        },
        "/batch_predict": {
            "post": _operation(
                "batchPredict",
                "Score many texts as a job",
                "jobs",
                {
                    "200": _ok(
                        "The predictions, where `Prefer: return=representation` asked for them; no job was made.",
                        schemas.BatchResponse,
                    ),
                    "202": accepted,
                    **_problems(400, 408, 409, 413, 415, 422, 429, 503),
                },
                requestBody=_upload_body(),
                parameters=[*_query_parameters(schemas.UploadQuery), _PREFER_BATCH, _IDEMPOTENCY_KEY],
            )
        },
        "/jobs": {
            "get": _operation(
                "listJobs",
                "List jobs, the newest first",
                "jobs",
                {"200": _ok("A page of jobs.", schemas.JobsResponse), **_problems(422, 503)},
                parameters=_query_parameters(schemas.JobsQuery),
            )
        },
        "/jobs/{job_id}": {
            "get": _operation(
                "getJob",
                "Get a job's state and counts",
                "jobs",
                {"200": _ok("The job.", schemas.JobResponse), **_problems(404, 503)},
                parameters=[job_id, _PREFER],
            ),
            "delete": _operation(
                "cancelJob",
                "Cancel a job; what is done stays readable. With ?purge=1, remove a job that has ended",
                "jobs",
                {
                    "202": accepted,
                    "204": {"description": "The job is removed, with its lines and results."},
                    **_problems(404, 409, 422, 503),
                },
                parameters=[job_id, *_query_parameters(schemas.DeleteQuery)],
            ),
        },
        "/jobs/{job_id}/events": {
            "get": _operation(
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
                    **_problems(404, 503),
                },
                parameters=[job_id, _LAST_EVENT_ID],
            )
        },
        "/jobs/{job_id}/results": {
            "get": _operation(
                "getJobResults",
                "Get a job's lines, in the order in which they were sent",
                "jobs",
                {"200": lines, **_problems(404, 422, 503)},
                parameters=[job_id, *_query_parameters(schemas.ResultsQuery)],
            )
        },
        "/jobs/{job_id}/report": {
            "get": _operation(
                "getJobReport",
                "Get what an ended job's texts say together: shares, differences, series and shifts",
                "jobs",
                {
                    "200": {
                        "description": "The report, as JSON or as a page that stands alone, chosen by `Accept` or"
                        " ?format=. docs/reports.md describes it.",
                        "headers": {"X-Request-ID": _REQUEST_ID},
                        "content": {
                            "application/json": {"schema": {"type": "object"}},
                            "text/html": {"schema": {"type": "string"}},
                        },
                    },
                    **_problems(404, 409, 413, 422, 503),
                },
                parameters=[job_id, *_query_parameters(schemas.ReportQuery)],
            )
        },
        "/streams/{name}/shifts": {
            "get": _operation(
                "getStreamShifts",
                "Get the shifts of a stream's mood: when, from what to what, and how sure that is",
                "streams",
                {"200": _ok("The shifts, the newest first.", shift_schemas.ShiftsResponse), **_problems(404, 503)},
                parameters=[stream_name],
            )
        },
        "/streams/{name}/events": {
            "get": _operation(
                "getStreamEvents",
                "Follow a stream by server-sent events: at each change a `shift` for each shift that was found, a"
                " `bucket` for each minute in which texts were counted, and a `stream` with all counts. Before them a"
                " `reset` if more has changed than is told: then read the series anew",
                "streams",
                {
                    "200": {
                        "description": "The events.",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    },
                    **_problems(404, 503),
                },
                parameters=[stream_name, _LAST_EVENT_ID],
            )
        },
        "/model": {
            "get": _operation(
                "model",
                "Get the model that answers, and how good it was measured to be",
                "predictions",
                {"200": _ok("The model.", schemas.ModelResponse), **_problems(422, 503)},
                parameters=_query_parameters(schemas.ModelQuery),
            )
        },
        "/health": {"get": _operation("health", "Check what the service needs, and what is missing", "health", health)},
        "/health/ready": {"get": _operation("ready", "The same check, for probes", "health", health)},
        "/health/live": {
            "get": _operation(
                "live",
                "Check that the process answers",
                "health",
                {"200": _ok("The process answers.", schemas.LiveResponse)},
            )
        },
        "/metrics": {
            "get": _operation(
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
        for operation in operations.values():
            if not path.startswith("/health"):
                operation["responses"] |= _problems(401, 403, 421)
                operation["security"] = [{}, {"bearer": []}, {"header": []}]
            if "429" in operation["responses"]:
                for response in operation["responses"].values():
                    response["headers"] |= _RATE_LIMITS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sentiq",
            "version": application_version(),
            "description": f"Self-hosted {analysis.name}: {_one_of(analysis)}, a confidence, and the scores behind it.",
        },
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
        "components": {"schemas": _definitions(analysis), "securitySchemes": _KEYS},
    }
