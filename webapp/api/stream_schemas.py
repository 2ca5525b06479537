"""Requests and responses of streams as the API documents them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StringConstraints
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from model.masking import MOST_NAMES, is_name
from webapp.api.job_schemas import UploadQuery
from webapp.api.schemas import Absent, Asked, Request, TextId, TextTime

NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
"""What the name of a stream looks like."""
_LONGEST_SEGMENT = 255


def _are_names(masks: dict[str, list[str]] | Literal[False] | None) -> dict[str, list[str]] | Literal[False] | None:
    for names in (masks or {}).values():
        if len(names) >= MOST_NAMES or not all(map(is_name, names)):
            raise PydanticCustomError(
                "not_names",
                "must have at most {most} other names of a segment, each with a letter or digit",
                {"most": MOST_NAMES - 1},
            )
    return masks


MaskSegments = TypeAliasType(
    "MaskSegments",
    Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_SEGMENT)], list[str]],
        Field(max_length=1000),
    ]
    | Literal[False],
)


class StreamBody(Request):
    """The settings of a stream. What is left out has its default, also if the stream had another value."""

    ttl: Annotated[
        int | None,
        Field(ge=60, description="Seconds that what was counted is kept; at most STREAM_TTL, which is the default."),
    ] = None
    keep_sample: Annotated[
        bool,
        Field(description="Keep the texts of the random sample, so that people can label them. Otherwise no text is."),
    ] = False
    mask_segments: Annotated[
        MaskSegments | None,
        Field(
            description="Other names of segments: a text is scored a second time with the names of its segment masked,"
            " as a name alone moves the score. Null: only the segment's own name is masked; false: nothing is.",
        ),
        AfterValidator(_are_names),
    ] = None
    sensitivity: Annotated[
        float | None, Field(gt=0, le=100, description="How many false alarms of a shift are acceptable in a day.")
    ] = None
    callback_url: Annotated[str | None, Field(description="Receives a signed POST for each shift.")] = None

    example: ClassVar[dict[str, Any]] = {"keep_sample": True}
    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})


class SegmentResponse(BaseModel):
    """What was counted of a segment since the stream was made."""

    segment: Annotated[
        str | None,
        Field(description="Null: texts that were sent without one. `(other)`: those of segments beyond MAX_SEGMENTS."),
    ]
    texts: Annotated[int, Field(description="Texts that have a label.")]
    failed: int
    unsupported_language: int


class StreamLinks(BaseModel):
    """The addresses of what can be asked of the stream."""

    self: str
    texts: str
    series: str
    shifts: str
    events: str
    sample: str
    labels: str
    compare: str


class StreamResponse(BaseModel):
    """A stream. Times are RFC 3339, UTC; texts that failed, and those that the model does not read, are in no share."""

    name: str
    ttl: int
    keep_sample: bool
    mask_segments: MaskSegments | None
    sensitivity: float | None
    callback_url: str | None
    texts: Annotated[int, Field(description="Texts that have a label.")]
    failed: int
    unsupported_language: int
    repeated: Annotated[
        int, Field(description="Texts whose id had been counted before; they are counted nowhere else.")
    ]
    segments: list[SegmentResponse] | Absent = None
    created_at: str
    expires_at: Annotated[str, Field(description="When the stream is deleted, if no further text comes.")]
    kept: Annotated[str, Field(description="What is kept of texts, in words.")]
    links: StreamLinks


class StreamsResponse(BaseModel):
    """The caller's streams, by name."""

    items: list[StreamResponse]
    next: Annotated[str | None, Field(description="Always null: a page has all of them.")]


class StreamEntry(BaseModel):
    """A text with what is known of it, by the names that the query gives these keys."""

    model_config = ConfigDict(extra="allow")

    text: str
    time: Annotated[TextTime | None, Field(description="When it was written. Default: now.")] = None
    segment: Annotated[str | None, Field(description="What the text is about.")] = None
    author: Annotated[str | None, Field(description="Who wrote it; only a hash is kept.")] = None
    id: Annotated[TextId | None, Field(description="A text whose id was counted before is not counted again.")] = None
    gold: Annotated[str | None, Field(description="The label that a person gave it.")] = None


class StreamText(RootModel[str | StreamEntry]):
    """A text for a stream."""


class StreamTexts(Request):
    """Texts for a stream."""

    texts: Annotated[list[StreamText], Field(min_length=1)]

    example: ClassVar[dict[str, Any]] = {
        "texts": [{"text": "What a show!", "time": "2026-03-31T20:15:00+02:00", "segment": "show", "id": "a1"}],
    }
    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})


_COLUMN = "The column, or key, with the {of}; default: the one named `{name}`, if there is one."


class TextsQuery(Asked):
    """How to read texts for a stream."""

    model_config = ConfigDict(extra="forbid")

    column: Annotated[str | None, UploadQuery.model_fields["column"]] = None
    delimiter: Annotated[str | None, UploadQuery.model_fields["delimiter"]] = None
    encoding: Annotated[str | None, UploadQuery.model_fields["encoding"]] = None
    quote: Annotated[str | None, UploadQuery.model_fields["quote"]] = None
    escape: Annotated[str | None, UploadQuery.model_fields["escape"]] = None
    header: Annotated[bool | None, UploadQuery.model_fields["header"]] = None
    skip: Annotated[int | None, UploadQuery.model_fields["skip"]] = None
    sheet: Annotated[str | None, UploadQuery.model_fields["sheet"]] = None
    on_error: Annotated[Literal["refuse", "line"] | None, UploadQuery.model_fields["on_error"]] = None
    time: Annotated[
        str | None,
        Field(
            description=_COLUMN.format(of="times", name="time")
            + " ISO 8601, Unix seconds or milliseconds, or dates as people write them; without a time it is now."
        ),
    ] = None
    segment: Annotated[str | None, Field(description=_COLUMN.format(of="segments", name="segment"))] = None
    author: Annotated[str | None, Field(description=_COLUMN.format(of="authors", name="author"))] = None
    id: Annotated[
        str | None,
        Field(
            description=_COLUMN.format(of="ids", name="id")
            + " A text whose id was counted before is not counted again."
        ),
    ] = None
    tz: Annotated[
        str | None, Field(description="The time zone of times without an offset: `Europe/Berlin`. Default: UTC.")
    ] = None
    dates: Annotated[
        Literal["day-first", "month-first"] | None,
        Field(description="How to read dates like 3/4/2026; without it they are refused."),
    ] = None
    gold: Annotated[
        Literal["all", "random"],
        Field(description="`random`: the texts that come with a label (`gold`) are a random sample of all."),
    ] = "all"

    def read_as(self) -> dict[str, str]:
        """What is said of the lines' facts; with another answer, the same lines say something else."""
        said = {"time", "segment", "author", "id", "tz", "dates", "on_error"}
        return self.model_dump(include=said, exclude_none=True)


class SeriesQuery(Asked):
    """Which part of a stream to count, and how."""

    model_config = ConfigDict(extra="forbid")

    bucket: Annotated[
        Literal["minute", "hour", "day"],
        Field(description="What is counted together. Minutes are kept for seven days after their latest text."),
    ] = "hour"
    tz: Annotated[str | None, Field(description="The time zone of hours and days: `Europe/Berlin`. Default: UTC.")] = (
        None
    )
    start: Annotated[str | None, Field(alias="from", description="Only texts from this time on.")] = None
    end: Annotated[str | None, Field(alias="to", description="Only texts before this time.")] = None
    segment: Annotated[
        list[str] | None,
        Field(description="Only these segments; may be given several times. Empty: texts without a segment."),
    ] = None
    masked: Annotated[bool, Field(description="By the scores with the segment's names masked.")] = False


class EstimateResponse(BaseModel):
    """A share or net, with its 95 % interval; nulls where no interval is honest."""

    estimate: float
    low: float | None
    high: float | None


class SharesResponse(BaseModel):
    """Shares of texts that have a label, from 0 to 1, and net: positive less negative."""

    negative: EstimateResponse
    neutral: EstimateResponse
    positive: EstimateResponse
    net: EstimateResponse
    texts: int
    effective_texts: float
    labels: Annotated[int, Field(description="Labels of people by which it is corrected.")]
    method: str
    note: str


class SeriesItem(SharesResponse):
    """One bucket of one segment."""

    segment: str | None
    start: str
    end: str
    failed: int
    unsupported_language: int


class SeriesSegment(BaseModel):
    """A segment over the whole time."""

    segment: str | None
    texts: int
    authors: Annotated[
        int | None, Field(description="About how many authors wrote on the days (UTC) of this time; null if not known.")
    ]


class SeriesResponse(BaseModel):
    """What was counted, by segment and time. Buckets without texts are left out."""

    stream: str
    bucket: str
    tz: str
    items: list[SeriesItem]
    segments: list[SeriesSegment]
