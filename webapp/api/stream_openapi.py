"""The operations of `/streams` in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from webapp.api import callback_schemas, compare_schemas, label_schemas, shift_schemas, stream_schemas
from webapp.api.job_schemas import JobResponse
from webapp.api.operations import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    PREFER,
    RETRY_AFTER,
    body,
    callback,
    content,
    location,
    ok,
    operation,
    problems,
    query_parameters,
    upload_types,
)

STREAM_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (stream_schemas.StreamBody, "validation"),
    (stream_schemas.StreamTexts, "validation"),
    (label_schemas.LabelsRequest, "validation"),
    *[
        (model, "serialization")
        for model in (
            stream_schemas.StreamResponse,
            stream_schemas.StreamsResponse,
            stream_schemas.SeriesResponse,
            label_schemas.SampleResponse,
            label_schemas.LabelsResponse,
            label_schemas.LabelsTaken,
            compare_schemas.CompareResponse,
            shift_schemas.ShiftsResponse,
            callback_schemas.ShiftFound,
        )
    ],
]
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The stream's name.",
    "schema": {"type": "string", "pattern": f"^{stream_schemas.NAME}$"},
}


def _texts_body() -> dict[str, Any]:
    return {
        "required": True,
        "description": "As for /batch_predict, with the columns or keys that the query names.",
        "content": content(stream_schemas.StreamTexts) | upload_types(),
    }


def stream_paths() -> dict[str, Any]:
    """The paths of streams with their operations."""
    taken = ok(
        "Accepted: a job brings the texts.", JobResponse, **location("The address."), **{"Retry-After": RETRY_AFTER}
    )
    return {
        "/streams": {
            "get": operation(
                "listStreams",
                "List your streams by name",
                "streams",
                {"200": ok("The streams.", stream_schemas.StreamsResponse), **problems(503)},
            )
        },
        "/streams/{name}": {
            "put": operation(
                "putStream",
                "Make a stream, or give one other settings",
                "streams",
                {
                    "200": ok("The stream has these settings now.", stream_schemas.StreamResponse),
                    "201": ok("The stream was made.", stream_schemas.StreamResponse, **location("The address.")),
                    **problems(400, 409, 413, 415, 422, 503),
                },
                parameters=[_NAME],
                requestBody=body(stream_schemas.StreamBody) | {"required": False},
                callbacks=callback(
                    "shiftFound",
                    "The stream has shifted",
                    callback_schemas.ShiftFound,
                    "{$request.body#/callback_url}",
                ),
            ),
            "get": operation(
                "getStream",
                "Get a stream's settings and counts",
                "streams",
                {"200": ok("The stream.", stream_schemas.StreamResponse), **problems(404, 503)},
                parameters=[_NAME],
            ),
            "delete": operation(
                "deleteStream",
                "Delete a stream with its counts, texts and labels",
                "streams",
                {"204": {"description": "Nothing of it is left."}, **problems(404, 503)},
                parameters=[_NAME],
            ),
        },
        "/streams/{name}/texts": {
            "post": operation(
                "sendStreamTexts",
                "Send texts, which are counted by segment and time",
                "streams",
                {"202": taken, **problems(400, 404, 408, 409, 413, 415, 422, 429, 503)},
                parameters=[_NAME, *query_parameters(stream_schemas.TextsQuery), PREFER, IDEMPOTENCY_KEY],
                requestBody=_texts_body(),
            )
        },
        "/streams/{name}/series": {
            "get": operation(
                "getStreamSeries",
                "Get the shares of each segment over time, with their intervals",
                "streams",
                {"200": ok("The buckets.", stream_schemas.SeriesResponse), **problems(404, 422, 503)},
                parameters=[_NAME, *query_parameters(stream_schemas.SeriesQuery)],
            )
        },
        "/streams/{name}/sample": {
            "get": operation(
                "getStreamSample",
                "Get texts to label, chosen at random",
                "streams",
                {"200": ok("The texts.", label_schemas.SampleResponse), **problems(404, 409, 422, 503)},
                parameters=[_NAME, *query_parameters(label_schemas.SampleQuery)],
            )
        },
        "/streams/{name}/labels": {
            "get": operation(
                "getStreamLabels",
                "Get how far the labels are, and how far people agree",
                "streams",
                {"200": ok("The labels.", label_schemas.LabelsResponse), **problems(404, 503)},
                parameters=[_NAME],
            ),
            "post": operation(
                "labelStreamTexts",
                "Give labels to texts of the sample",
                "streams",
                {
                    "200": ok("The labels were stored.", label_schemas.LabelsTaken),
                    **problems(400, 404, 409, 413, 415, 422, 503),
                },
                parameters=[_NAME],
                requestBody=body(label_schemas.LabelsRequest),
            ),
        },
        "/streams/{name}/compare": {
            "get": operation(
                "compareStream",
                "Compare segments, the time before and after an event, or two streams",
                "streams",
                {"200": ok("The comparisons.", compare_schemas.CompareResponse), **problems(404, 422, 503)},
                parameters=[_NAME, *query_parameters(compare_schemas.CompareQuery)],
            )
        },
        "/streams/{name}/shifts": {
            "get": operation(
                "getStreamShifts",
                "Get the shifts of a stream's mood: when, from what to what, and how sure that is",
                "streams",
                {"200": ok("The shifts, the newest first.", shift_schemas.ShiftsResponse), **problems(404, 503)},
                parameters=[_NAME],
            )
        },
        "/streams/{name}/events": {
            "get": operation(
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
                    **problems(404, 503),
                },
                parameters=[_NAME, LAST_EVENT_ID],
            )
        },
    }
