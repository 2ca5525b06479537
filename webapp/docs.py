"""`/openapi.json`, `/docs` (Swagger UI) and `/redoc`, all served from this process: no address outside is asked for anything.

The document is put together here from the schemas; the views stay free of it, so that documentation costs a request nothing.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response, redirect, send_from_directory, url_for
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.wrappers import Response as WerkzeugResponse

from webapp import schemas

_REF = "#/components/schemas/{model}"
_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (schemas.PredictRequest, "validation"),
    (schemas.BatchRequest, "validation"),
    *[
        (model, "serialization")
        for model in (
            schemas.PredictionResponse,
            schemas.JobResponse,
            schemas.ResultsResponse,
            schemas.ModelResponse,
            schemas.HealthResponse,
            schemas.LiveResponse,
            schemas.Problem,
        )
    ],
]
_PROBLEMS = {
    400: "The body is not JSON, or the request is malformed.",
    404: "No job has this id: it never existed, or it has expired.",
    413: "The body or the job is larger than the limits allow.",
    415: "The body is not application/json.",
    422: "A field or a text cannot be accepted.",
    429: "Too many texts wait; come back after `Retry-After` seconds.",
    503: "Redis is away; nothing was accepted.",
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "RFC 7240: `wait=N` waits up to N seconds (60 at most); `respond-async` does not wait at all.",
    "schema": {"type": "string", "examples": ["wait=10", "respond-async"]},
}
_REQUEST_ID = {"description": "The request's id, yours if you sent one.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 1}}


def _content(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _ok(description: str, model: type[BaseModel], **headers: Any) -> dict[str, Any]:
    return {"description": description, "headers": {"X-Request-ID": _REQUEST_ID, **headers}, "content": _content(model)}


def _problems(*statuses: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for status in statuses:
        headers = {"X-Request-ID": _REQUEST_ID} | ({"Retry-After": _RETRY_AFTER} if status in (429, 503) else {})
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


def application_version() -> str:
    """The installed version of the application."""
    try:
        return version("sentiq")
    except PackageNotFoundError:
        return "0+unknown"


def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of all endpoints."""
    _, definitions = models_json_schema(_MODELS, ref_template=_REF)
    location = {"description": "The job's address.", "schema": {"type": "string"}}
    job_id = {
        "name": "job_id",
        "in": "path",
        "required": True,
        "description": "As given by the 202 answer.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    accepted = _ok(
        "Accepted: the answer will be at the job's address.", schemas.JobResponse, Location=location, **{"Retry-After": _RETRY_AFTER}
    )
    unready = _ok("Something is missing.", schemas.HealthResponse, **{"Retry-After": _RETRY_AFTER})
    health = {"200": _ok("All is there.", schemas.HealthResponse), "503": unready}
    paths: dict[str, Any] = {
        "/predict": {
            "post": _operation(
                "predict",
                "Score one text",
                "predictions",
                {"200": _ok("The prediction.", schemas.PredictionResponse), "202": accepted, **_problems(400, 413, 415, 422, 429, 503)},
                requestBody=_body(schemas.PredictRequest),
                parameters=[_PREFER],
            )
        },
        "/batch_predict": {
            "post": _operation(
                "batchPredict",
                "Score many texts as a job",
                "jobs",
                {"202": accepted, **_problems(400, 413, 415, 422, 503)},
                requestBody=_body(schemas.BatchRequest),
            )
        },
        "/jobs/{job_id}": {
            "get": _operation(
                "getJob",
                "A job's state and counts",
                "jobs",
                {"200": _ok("The job.", schemas.JobResponse), **_problems(404, 503)},
                parameters=[job_id, _PREFER],
            )
        },
        "/jobs/{job_id}/results": {
            "get": _operation(
                "getJobResults",
                "A job's lines, in the order in which they were sent",
                "jobs",
                {"200": _ok("A page of lines.", schemas.ResultsResponse), **_problems(404, 422, 503)},
                parameters=[job_id, *_query_parameters(schemas.ResultsQuery)],
            )
        },
        "/model": {
            "get": _operation(
                "model",
                "The model that answers, and how good it was measured to be",
                "predictions",
                {"200": _ok("The model.", schemas.ModelResponse), **_problems(503)},
            )
        },
        "/health": {"get": _operation("health", "What the service needs, and what is missing", "health", health)},
        "/health/ready": {"get": _operation("ready", "The same, for probes", "health", health)},
        "/health/live": {"get": _operation("live", "The process answers", "health", {"200": _ok("It does.", schemas.LiveResponse)})},
        "/metrics": {
            "get": _operation(
                "metrics",
                "Prometheus metrics",
                "health",
                {"200": {"description": "Text exposition format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            )
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sentiq",
            "version": application_version(),
            "description": "Self-hosted sentiment: POSITIVE, NEUTRAL or NEGATIVE, a confidence, and the scores behind it.",
        },
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }


_SWAGGER = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sentiq API</title>
<link rel="stylesheet" href="assets/swagger/css/swagger-ui.css"></head>
<body><div id="ui"></div><script src="assets/swagger/js/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null})</script></body></html>"""
_REDOC = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sentiq API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>body{margin:0}</style></head>
<body><redoc spec-url="openapi.json" disable-google-font="true"></redoc>
<script src="assets/redoc/js/redoc.standalone.js"></script></body></html>"""


def _assets(package: str) -> Path:
    # Found, not imported: the package would bring a second web framework's extension into every web process.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "templates"


def docs_blueprint() -> Blueprint:
    """The blueprint of the API's documentation; `/` leads there."""
    blueprint = Blueprint("docs", __name__)
    document = orjson.dumps(openapi_document())
    folders = {"swagger": _assets("flask_openapi_swagger"), "redoc": _assets("flask_openapi_redoc")}

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, mimetype="application/json")

    @blueprint.get("/docs")
    def swagger() -> Response:
        return Response(_SWAGGER, mimetype="text/html")

    @blueprint.get("/redoc")
    def redoc() -> Response:
        return Response(_REDOC, mimetype="text/html")

    @blueprint.get("/assets/<any(swagger, redoc):page>/<path:file>")
    def assets(page: str, file: str) -> Response:
        return send_from_directory(folders[page] / page, file, max_age=86_400)

    @blueprint.get("/")
    def start() -> WerkzeugResponse:
        return redirect(url_for("docs.swagger"))

    return blueprint
