"""`/batch_predict` and `/jobs` as the API documents them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel
from typing_extensions import TypeAliasType

from webapp.api.health_schemas import CompilingResponse
from webapp.api.schemas import (
    REF,
    Absent,
    Asked,
    Calibrated,
    Label,
    ModelName,
    Request,
    Target,
    TextId,
    TwoClass,
    WithSentences,
)
from webapp.reading.names import LONGEST_NAME, one_line


class Entry(BaseModel):
    """A text with its id; other keys come back with the result, as columns."""

    model_config = ConfigDict(extra="allow")

    text: str
    id: Annotated[TextId | None, Field(description="Comes back with the result.")] = None


class TextRecord(BaseModel):
    """An object with a text under the key `text`, or the one that the query names; all others come back as columns."""

    model_config = ConfigDict(extra="allow")


ListedText = TypeAliasType("ListedText", str | TextRecord | None)


class TextList(RootModel[list[ListedText]]):
    """Strings, or objects as in NDJSON. It may be the value of a key: `{"data": [...]}`."""

    root: Annotated[list[ListedText], Field(min_length=1)]


class BatchText(RootModel[str | Entry]):
    """A text of a batch."""


class BatchRequest(Request):
    """Texts to be scored as one job."""

    texts: Annotated[
        list[str],  # objects are read by `webapp.reading`
        Field(
            min_length=1,
            fail_fast=True,
            json_schema_extra={"items": {"$ref": REF.format(model="BatchText")}},
            description="At most MAX_BATCH_TEXTS: strings, or objects with `text` and optionally `id`. A text that"
            " cannot be scored gets an error of its own.",
        ),
    ]
    callback_url: Annotated[str | None, Field(description="Receives a signed POST when the job has ended.")] = None
    model: ModelName = None
    target: Target = None
    sentences: WithSentences = False

    example: ClassVar[dict[str, Any]] = {"texts": ["I loved it!", "The bus leaves at nine.", "Never again."]}
    with_ids: ClassVar[dict[str, Any]] = {
        "texts": [{"text": "I loved it!", "id": "a1"}, {"text": "Never again.", "id": 2}]
    }
    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example, with_ids]})


class BatchBody(RootModel[BatchRequest | TextList]):
    """Texts as JSON."""


class JobLinks(BaseModel):
    """The addresses of the job, its results and its events."""

    self: str
    results: str
    events: str


CallbackState = TypeAliasType("CallbackState", Literal["pending", "delivered", "failed"])


class CallbackResponse(BaseModel):
    """Where the job's end is posted, and whether that has succeeded."""

    url: str
    state: CallbackState
    attempts: int


JobStatus = TypeAliasType("JobStatus", Literal["queued", "running", "succeeded", "failed", "cancelled"])


class JobFacts(BaseModel):
    """What is told of a job that runs and of one that has ended."""

    id: str
    status: JobStatus
    total: int
    done: Annotated[int, Field(description="Lines that have a prediction or an error.")]
    failed: Annotated[int, Field(description="Lines that have an error.")]
    unsupported_language: Annotated[
        int, Field(description="Lines without a label, as the model does not read their language.")
    ]
    cached: Annotated[int, Field(description="Lines whose prediction was in the cache when they came in.")]
    duplicates: Annotated[int, Field(description="Lines whose text came earlier in the job; each text is scored once.")]
    stream: Annotated[str | Absent, Field(description="The stream that its texts are for; not there without one.")] = (
        None
    )
    repeated: Annotated[
        int | Absent,
        Field(description="Lines that the stream did not count, as their ids had been counted; not there without one."),
    ] = None
    labels: Annotated[dict[Label, int], Field(description="Lines that have each label, of those done.")]
    requested_model: Annotated[
        str | Absent, Field(description="The name of the model that the request asked for; not there if it named none.")
    ] = None
    target: Annotated[str | Absent, Field(description="What the texts are scored towards; not there if nothing.")] = (
        None
    )
    not_mentioned: Annotated[
        int | Absent, Field(description="Lines without a label, as they do not name the target; not there without one.")
    ] = None
    model: Annotated[
        str | None, Field(description="The identity of the model that scored; null until a text was scored.")
    ]
    texts_per_s: Annotated[
        float | None,
        Field(
            description="Lines that workers answered, per second since the job began to run; null in its first second."
        ),
    ]
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: Annotated[str, Field(description="When the job and its results are deleted.")]


class JobResponse(JobFacts):
    """A job. Counts are lines; times are RFC 3339, UTC."""

    name: Annotated[
        str | Absent, Field(description="What the request calls the job: `name`, or the name of the form's file.")
    ] = None
    receiving: Annotated[bool, Field(description="Its texts are still coming in.")]
    encoding: Annotated[
        str | Absent, Field(description="Of a file: its encoding. Not there before all of it has come in.")
    ] = None
    guessed: Annotated[
        bool | Absent, Field(description="Of a file: whether neither the file nor the request says its encoding.")
    ] = None
    delimiter: Annotated[str | Absent, Field(description="Of CSV: the delimiter.")] = None
    sheet: Annotated[str | Absent, Field(description="Of a spreadsheet: the name of the sheet that was read.")] = None
    file: Annotated[str | Absent, Field(description="Of a zip file: the name of the file in it.")] = None
    eta_s: Annotated[float | None, Field(description="Seconds until the job's end at that rate, while it runs.")]
    callback: CallbackResponse | None
    links: JobLinks
    owner: Annotated[
        str | None, Field(description="The name of the key that made the job; only in answers to the scope admin.")
    ] = None
    calibrated: Calibrated = None
    two_class: TwoClass = None
    compiling: Annotated[
        CompilingResponse | Absent,
        Field(description="While a job waits for its model, because that is still being compiled: how far it is."),
    ] = None


class JobsResponse(BaseModel):
    """A page of jobs, the newest first. Of those in one state it may have fewer than `limit`, and others may follow."""

    items: list[JobResponse]
    next: Annotated[str | None, Field(description="The address of the next page, or null.")]


class JobsQuery(Asked):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="The most jobs in this page.")] = 50
    status: Annotated[
        JobStatus | None,
        Field(description="Only jobs in this state."),
    ] = None
    cursor: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?-[0-9a-f]{32}$", description="Where to continue, from a page's `next`."
        ),
    ] = None


class DeleteQuery(Asked):
    """What to do with a job."""

    purge: Annotated[
        bool,
        Field(description="Remove a job that has ended, with its lines and results, and free the bytes that it keeps."),
    ] = False


class UploadQuery(Asked):
    """How to read an upload."""

    model_config = ConfigDict(extra="forbid")

    column: Annotated[
        str | None,
        Field(
            description="The column of a table, or the key of JSON objects, that holds the texts; in JSON it may be a"
            " path (`data.text`), without a header the column's number from 1. Default: `text`."
        ),
    ] = None
    delimiter: Annotated[
        str | None, Field(description="For CSV: one character, or `tab`. Default: what the header shows.")
    ] = None
    encoding: Annotated[
        str | None,
        Field(description="The encoding, such as `cp1252`, if it is neither UTF-8 nor told by a byte order mark."),
    ] = None
    quote: Annotated[
        str | None, Field(description='For CSV: the quote, or `none` if quotes are plain characters. Default: `"`.')
    ] = None
    escape: Annotated[
        str | None, Field(description="For CSV: the character before a quote that belongs to the text, such as `\\`.")
    ] = None
    header: Annotated[
        bool | None, Field(description="For tables: `false` if the first row is a row like all others.")
    ] = None
    skip: Annotated[
        int | None, Field(ge=0, le=1_000_000, description="For tables: how many lines there are before the header.")
    ] = None
    sheet: Annotated[
        str | None,
        Field(
            description="For spreadsheets: the name of the sheet, or its number from 1. Default: the one that has the"
            " column."
        ),
    ] = None
    on_error: Annotated[
        Literal["refuse", "line"] | None,
        Field(
            description="`line`: a row or item that cannot be read gets an error of its own (`malformed_line`)."
            " Default: the file is refused."
        ),
    ] = None
    name: Annotated[
        str | None,
        Field(
            max_length=LONGEST_NAME,
            description="What the job is called wherever jobs are listed. Default: the name of the form's file.",
        ),
    ] = None
    callback_url: Annotated[str | None, Field(description="Receives a signed POST when the job has ended.")] = None
    model: ModelName = None
    target: Target = None
    sentences: WithSentences = False

    @property
    def called(self) -> str | None:
        """The job's name without line breaks; None if it has none."""
        return one_line(self.name or "") or None
