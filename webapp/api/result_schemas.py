"""The results and reports of jobs as the API documents them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from webapp.api.job_schemas import JobResponse
from webapp.api.prediction_schemas import FoundLanguage, Scores, SentenceResponse, Warnings, WordResponse
from webapp.api.schemas import Absent, Asked, Calibrated, Label, Score, TextId, TwoClass


class LineError(BaseModel):
    """Why this one text has no prediction."""

    code: Annotated[str, Field(examples=["empty_text", "text_too_long", "text_failed"])]


LineStatus = TypeAliasType("LineStatus", Literal["done", "failed", "pending", "cancelled"])


class LineResponse(BaseModel):
    """One line of a job, in the input's order."""

    position: Annotated[int, Field(description="The line's position in the input, from 0.")]
    id: Annotated[TextId | Absent, Field(description="The line's id, as it was sent.")] = None
    columns: Annotated[
        dict[str, str] | Absent, Field(description="The other columns of the row, or the other keys of the object.")
    ] = None
    text: str
    status: LineStatus
    label: Label | None = None
    confidence: Score | None = None
    scores: Scores | None = None
    cached: bool | Absent = None
    model: str | None = None
    language: FoundLanguage = None
    uncertain: bool | Absent = None
    warnings: Warnings | Absent = None
    truncated: bool | Absent = None
    windows: int | Absent = None
    calibrated: Calibrated = None
    two_class: TwoClass = None
    sentences: Annotated[list[SentenceResponse] | Absent, Field(description="If the job asked for them.")] = None
    words: Annotated[list[WordResponse] | Absent, Field(description="If `/predict` made the job.")] = None
    error: LineError | Absent = None


class ResultsResponse(BaseModel):
    """A page of a job's lines; while the job runs, some may be pending."""

    job: JobResponse
    items: list[LineResponse]
    next: Annotated[str | None, Field(description="The address of the next page, or null.")]


class BatchResponse(BaseModel):
    """All texts of a small batch, in the input's order."""

    status: Annotated[
        Literal["done"], Field(description="Tells this answer from a job's, which 202 has: that is never `done`.")
    ]
    items: list[LineResponse]


class ResultsQuery(Asked):
    """Which lines of a job to return."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[int, Field(ge=0, le=2**53, description="The position of the first line.")] = 0
    limit: Annotated[
        int | None,
        Field(
            ge=1,
            le=2**53,
            description="How many lines. A JSON page has 1,000 by default and 5,000 at most, and fewer if these have"
            " 8 MiB; NDJSON and CSV have all.",
        ),
    ] = None
    format: Annotated[
        Literal["json", "ndjson", "csv", "xlsx"] | None, Field(description="Takes precedence over `Accept`.")
    ] = None
    raw: Annotated[
        bool,
        Field(
            description="For CSV: leave cells as they were sent. Otherwise those that begin with `=`, `+`, `-`, `@`, a"
            " tab or a line break get a single quote in front, so that spreadsheets do not take them for formulas."
        ),
    ] = False
    like_input: Annotated[
        bool,
        Field(
            description="For CSV: with the delimiter and, if it had one, the byte order mark of the CSV that was sent."
        ),
    ] = False


class ReportQuery(Asked):
    """Which columns of a job a report is made by."""

    model_config = ConfigDict(extra="forbid")

    time: Annotated[str | None, Field(description="The column with the time of each text: for series and shifts.")] = (
        None
    )
    segment: Annotated[
        str | None, Field(description="The column by which texts are told apart and compared, such as the candidate.")
    ] = None
    label: Annotated[
        str | None,
        Field(
            description="The column with people's labels: of a random sample of the texts, or of all. Names in any case"
            " (`positive`, `pos`), -1, 0 and 1, or 0, 1 and 2; an empty cell is no label."
        ),
    ] = None
    author: Annotated[
        str | None, Field(description="The column with the author: many texts of one author say less than of many.")
    ] = None
    tz: Annotated[
        str,
        Field(
            max_length=64,
            description="The time zone (`Europe/Berlin`, `+02:00`) in which days begin and times are told, and in which"
            " times without an offset are read.",
        ),
    ] = "UTC"
    dates: Annotated[
        Literal["day-first", "month-first"] | None,
        Field(description="How dates like 3/4/2026 are read, if the column does not show it."),
    ] = None
    bucket: Annotated[
        Literal["1m", "5m", "15m", "1h", "3h", "6h", "12h", "1d", "1w", "1mo"] | None,
        Field(description="The buckets of the series. Default: by the time that the texts span."),
    ] = None
    format: Annotated[Literal["json", "html"] | None, Field(description="Takes precedence over `Accept`.")] = None
