"""Requests and responses as the API documents them. The HTTP face only: what lies behind has types of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Label = Annotated[str, WithJsonSchema({"enum": [], "type": "string"})]
"""A class of the analysis; `webapp.api.openapi` fills in which there are."""
Score = Annotated[float, Field(ge=0, le=1)]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class PredictRequest(_Request):
    """A text to be scored."""

    text: Annotated[
        str, Field(description="Plain text in English, the shorter the better: a tweet, a comment, a review.")
    ]

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"examples": [{"text": "What a show, I loved it!"}]}
    )


class BatchRequest(_Request):
    """Texts to be scored as one job."""

    texts: Annotated[
        list[str],
        Field(
            min_length=1,
            fail_fast=True,
            description="At most MAX_BATCH_TEXTS. A text that cannot be scored has its own error.",
        ),
    ]
    callback_url: Annotated[str | None, Field(description="Told of the job's end by a signed POST.")] = None

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"texts": ["I loved it!", "The bus leaves at nine.", "Never again."]}]},
    )


class Scores(BaseModel):
    """The probability of each label; together 1."""


class PredictionResponse(BaseModel):
    """One text's prediction."""

    text: Annotated[str, Field(description="As it was sent.")]
    label: Label
    confidence: Annotated[Score, Field(description="The highest of the scores.")]
    scores: Scores
    cached: Annotated[bool, Field(description="It was known already.")]
    processing_time_ms: Annotated[
        float, Field(ge=0, description="From the request's arrival to its answer, in this service.")
    ]
    model: Annotated[str, Field(description="The identity of the model that scored: name@revision/engine.")]
    truncated: Annotated[bool, Field(description="The text is longer than the model reads; its tail was left out.")]


class JobLinks(BaseModel):
    """Where to go on."""

    self: str
    results: str
    events: str


class CallbackResponse(BaseModel):
    """Where the job's end is told, and how far that is."""

    url: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int


class JobResponse(BaseModel):
    """A job. Counts are lines; times are RFC 3339, UTC."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    receiving: Annotated[bool, Field(description="Its texts still come in.")]
    total: int
    done: Annotated[int, Field(description="Lines that have a prediction or an error.")]
    failed: Annotated[int, Field(description="Lines that have an error.")]
    cached: Annotated[int, Field(description="Lines known at submission.")]
    duplicates: Annotated[
        int, Field(description="Lines whose text stands in the job before; each text is scored once.")
    ]
    labels: Annotated[dict[Label, int], Field(description="Lines by label, of those done.")]
    model: str | None
    texts_per_s: Annotated[
        float | None, Field(description="Lines that workers answered, per second since the job began to run.")
    ]
    eta_s: Annotated[float | None, Field(description="Seconds until its end at that rate, while it runs.")]
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: Annotated[str, Field(description="The job and its results are gone after that.")]
    callback: CallbackResponse | None
    links: JobLinks


class JobsResponse(BaseModel):
    """A page of jobs, the newest first."""

    items: list[JobResponse]
    next: Annotated[str | None, Field(description="The address of the next page, if there is one.")]


class JobsQuery(BaseModel):
    """Which jobs."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="Jobs in this page.")] = 50
    status: Annotated[
        Literal["queued", "running", "succeeded", "failed", "cancelled"] | None, Field(description="Only those.")
    ] = None
    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?-[0-9a-f]{32}$", description="From a page's `next`.")
    ] = None


class UploadQuery(BaseModel):
    """How an upload is to be read."""

    model_config = ConfigDict(extra="forbid")

    column: Annotated[
        str | None, Field(description="Of a CSV file: the column that holds the texts; `text` unless given.")
    ] = None
    delimiter: Annotated[
        str | None, Field(description="Of a CSV file: one character, or `tab`; a comma unless given.")
    ] = None
    callback_url: Annotated[str | None, Field(description="Told of the job's end by a signed POST.")] = None


class LineError(BaseModel):
    """Why this one text has no prediction."""

    code: Annotated[str, Field(examples=["empty_text", "text_too_long", "text_failed"])]


class LineResponse(BaseModel):
    """One line of a job, in the input's order."""

    position: Annotated[int, Field(description="In the input, from 0.")]
    id: Annotated[str | int | None, Field(description="As it was sent.")] = None
    columns: Annotated[dict[str, str] | None, Field(description="Of a CSV upload: the row's other columns.")] = None
    text: str
    status: Literal["done", "failed", "pending", "cancelled"]
    label: Label | None = None
    confidence: Score | None = None
    scores: Scores | None = None
    cached: bool | None = None
    model: str | None = None
    truncated: bool | None = None
    error: LineError | None = None


class ResultsResponse(BaseModel):
    """A page of a job's lines; while the job runs, some may be pending."""

    job: JobResponse
    items: list[LineResponse]
    next: Annotated[str | None, Field(description="The address of the next page, if there is one.")]


class BatchResponse(BaseModel):
    """All texts of a small batch, in the input's order."""

    items: list[LineResponse]


class ResultsQuery(BaseModel):
    """Which lines of a job."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[int, Field(ge=0, le=2**53, description="Position of the first line.")] = 0
    limit: Annotated[
        int | None,
        Field(ge=1, le=2**53, description="Lines: of a JSON page 1,000 unless given and 5,000 at most; else all."),
    ] = None
    format: Annotated[Literal["json", "ndjson", "csv"] | None, Field(description="Goes before `Accept`.")] = None


class WorkerResponse(BaseModel):
    """A worker that is ready."""

    role: Literal["interactive", "batch"]
    model: str
    device: str
    texts_per_s: float


class HealthResponse(BaseModel):
    """What the service needs, asked for at this moment."""

    status: Literal["ready", "unready"]
    redis: Literal["up", "down"]
    workers: list[WorkerResponse]
    missing: Annotated[list[str], Field(description="What keeps it from being ready.")]


Percent = Annotated[float, Field(ge=0, le=100)]


class Recall(BaseModel):
    """The share of each class's texts that got its label, in per cent."""


class FileFigures(BaseModel):
    """Figures of one labelled file, in per cent."""

    data: Annotated[str, Field(description="What the texts are.")]
    split: Annotated[
        Literal["dev", "test"],
        Field(description="Files of `dev` were looked at while the model was made, `test` was not."),
    ]
    texts: int
    macro_recall: Annotated[Percent, Field(description="The mean of the classes' recalls.")]
    macro_f1: Percent
    accuracy: Percent
    ece: Annotated[
        Percent, Field(description="Expected calibration error: how far confidence is from the share of right answers.")
    ]
    recall: Recall


class ModelResponse(BaseModel):
    """The model that answers."""

    model: Annotated[str | None, Field(description="Its identity; null until a worker was ready once.")]
    labels: list[Label]
    figures: Annotated[
        list[FileFigures], Field(description="As measured; none for other models than the embedded one.")
    ]


class LiveResponse(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class FieldFault(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """An error, RFC 9457. `code` is stable; `detail` is meant for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    line: Annotated[int | None, Field(description="Of an upload: the line to blame, from 1.")] = None
    errors: list[FieldFault] | None = None
