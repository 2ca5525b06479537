"""`/queue` as the API documents it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from webapp.api.health_schemas import WorkerRole


class WaitingResponse(BaseModel):
    """What one key has waiting for one model."""

    queue: Annotated[
        WorkerRole,
        Field(description="`interactive`: texts of `/predict` that no worker has taken; `batch`: jobs."),
    ]
    model: Annotated[str, Field(description="The name by which the model was asked for; `*` for the default one.")]
    owner: Annotated[
        str | None,
        Field(description="The name of the key; null without keys, or for texts of several callers together."),
    ]
    jobs: Annotated[int, Field(description="Jobs that have not ended; 0 for `interactive`.")]
    texts: Annotated[int, Field(description="Texts without an answer; of a job that still comes in, those so far.")]
    oldest_s: Annotated[float, Field(ge=0, description="Since when the oldest of it waits.")]


class QueueResponse(BaseModel):
    """What waits to be scored, the oldest first."""

    items: list[WaitingResponse]


class PurgeResponse(BaseModel):
    """What was given up."""

    cancelled_jobs: int
    removed_messages: Annotated[
        int, Field(description="Messages that no worker had taken, of jobs and of callers of `/predict`.")
    ]
