"""What the descriptions of all operations in the OpenAPI document are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from webapp.api import schemas
from webapp.api.schemas import REF

_PROBLEMS = {
    401: "No API key, or an unknown one; only where the service has keys.",
    403: "The key's scopes do not allow this; or the request comes from a page of another site,"
    " which CORS_ORIGINS does not list.",
    400: "The body is not JSON, is cut off, or the request is malformed.",
    404: "There is none of this id or name: it never existed, or it has expired.",
    408: "No text of the upload came for too long.",
    409: "The Idempotency-Key was used for another request, or its first request has not finished yet;"
    " or the job was cancelled while its texts were still coming in; or what is there does not allow this.",
    413: "The body, a line or the job is larger than the limits allow.",
    415: "The body is of a type that this endpoint does not read.",
    422: "A field, a line or a text cannot be accepted.",
    421: "The host name of the request is not in ALLOWED_HOSTS; only where the service has no keys.",
    429: "Too many texts are waiting, or the caller has sent more than its limits allow;"
    " try again after `Retry-After` seconds.",
    503: "Redis is away, or no worker serves the model that was asked for. Nothing was accepted.",
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "RFC 7240: `wait=N` waits up to N seconds (60 at most); `respond-async` does not wait at all.",
    "schema": {"type": "string", "examples": ["wait=10", "respond-async"]},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Remembered for a day: the same key with the same texts gives the same job, with other texts 409.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
LAST_EVENT_ID = {
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
}
_SIGNATURE = (
    ("webhook-id", "The same in every attempt, so that repetitions can be dropped.", {"type": "string"}),
    ("webhook-timestamp", "When it was sent, in Unix seconds.", {"type": "string", "pattern": "^[0-9]+$"}),
    (
        "webhook-signature",
        "`v1,` and the HMAC-SHA256, in base64, of id, timestamp and body with dots between them.",
        {"type": "string", "pattern": "^v1,"},
    ),
)
"""The headers of a callback that sign it, with what they say and their schemas."""
REQUEST_ID = {"description": "The request's id: yours, if you sent one.", "schema": {"type": "string"}}
RETRY_AFTER = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 1}}


def content(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """A body of this form."""
    return {media_type: {"schema": {"$ref": REF.format(model=model.__name__)}}}


def ok(description: str, model: type[BaseModel], **headers: Any) -> dict[str, Any]:
    """An answer of this form."""
    return {"description": description, "headers": {"X-Request-ID": REQUEST_ID, **headers}, "content": content(model)}


def location(description: str) -> dict[str, Any]:
    """The header with the address of what was made."""
    return {"Location": {"description": description, "schema": {"type": "string"}}}


def file_of(description: str) -> dict[str, Any]:
    """A body that is a file."""
    return {"schema": {"type": "string", "format": "binary", "description": description}}


def upload_types() -> dict[str, Any]:
    """The types of files with texts, which are the whole body."""
    return {mimetype: file_of(text) for mimetype, text in _UPLOADS.items()}


def problems(*statuses: int) -> dict[str, Any]:
    """The errors of these statuses."""
    out: dict[str, Any] = {}
    for status in statuses:
        headers = {"X-Request-ID": REQUEST_ID} | ({"Retry-After": RETRY_AFTER} if status in (409, 429, 503) else {})
        out[str(status)] = {
            "description": _PROBLEMS[status],
            "headers": headers,
            "content": content(schemas.Problem, "application/problem+json"),
        }
    return out


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The fields of a query as parameters. None of them may be null: a query has no way to say that."""
    properties = model.model_json_schema(ref_template=REF)["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.pop("description", ""),
            "schema": _not_null(schema),
        }
        for name, schema in properties.items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    return schema | kinds[0] if len(kinds) == 1 else schema | ({"anyOf": kinds} if kinds else {})


def operation(operation_id: str, summary: str, tag: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One operation."""
    return {"operationId": operation_id, "summary": summary, "tags": [tag], "responses": responses} | more


def callback(operation_id: str, summary: str, model: type[BaseModel], address: str) -> dict[str, Any]:
    """A signed POST to a callback_url.

    Args:
        operation_id: its name.
        summary: what has happened.
        model: the form of its body.
        address: a runtime expression that leads to the callback_url.
    """
    post = {
        "operationId": operation_id,
        "summary": summary,
        "description": "Sent only where the service has a secret to sign it (CALLBACK_SECRET, CALLBACK_SECRETS), as"
        " Standard Webhooks describes; again for some hours until it is answered with 2xx.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": told, "schema": schema}
            for name, told, schema in _SIGNATURE
        ],
        "requestBody": body(model),
        "responses": {"2XX": {"description": "It has arrived; the body is not read."}},
    }
    return {operation_id: {address: {"post": post}}}


def body(model: type[BaseModel]) -> dict[str, Any]:
    """The body of a request of this form."""
    return {"required": True, "content": content(model)}
