"""The operations of jobs' samples and labels in the OpenAPI document; those of streams are in `stream_openapi`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from webapp.api import label_schemas
from webapp.api.operations import body, ok, operation, problems, query_parameters

LABEL_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [(label_schemas.JobSampleResponse, "serialization")]


def job_label_paths(job_id: dict[str, Any]) -> dict[str, Any]:
    """The paths of jobs' labels with their operations. `job_id`: the parameter of the path."""
    by_column = query_parameters(label_schemas.JobLabelsQuery)
    return {
        "/jobs/{job_id}/sample": {
            "get": operation(
                "getJobSample",
                "Get texts of an ended job to label, chosen at random",
                "jobs",
                {"200": ok("The texts.", label_schemas.JobSampleResponse), **problems(404, 409, 413, 422, 503)},
                parameters=[job_id, *query_parameters(label_schemas.JobSampleQuery)],
            )
        },
        "/jobs/{job_id}/labels": {
            "get": operation(
                "getJobLabels",
                "Get how far the labels are, and how far people agree",
                "jobs",
                {"200": ok("The labels.", label_schemas.LabelsResponse), **problems(404, 409, 413, 422, 503)},
                parameters=[job_id, *by_column],
            ),
            "post": operation(
                "labelJobTexts",
                "Give labels to texts of the sample; the job's report is corrected by them",
                "jobs",
                {
                    "200": ok("The labels were stored.", label_schemas.LabelsTaken),
                    **problems(400, 404, 409, 413, 415, 422, 503),
                },
                parameters=[job_id, *by_column],
                requestBody=body(label_schemas.LabelsRequest),
            ),
        },
    }
