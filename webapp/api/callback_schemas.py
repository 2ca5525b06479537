"""What callbacks post, as the API documents it (`docs/callbacks.md`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from webapp.api.job_schemas import JobFacts
from webapp.api.shift_schemas import ShiftResponse


class EndedJob(JobFacts):
    """A job that has ended. Counts are lines; times are RFC 3339, UTC. Its results are at `/jobs/{id}/results`."""


class JobEnded(BaseModel):
    """What is posted when a job has ended."""

    event: Literal["job.ended"]
    job: EndedJob


class ShiftFound(BaseModel):
    """What is posted when a stream has shifted."""

    event: Literal["stream.shift"]
    stream: Annotated[str, Field(description="The stream's name.")]
    shift: ShiftResponse
