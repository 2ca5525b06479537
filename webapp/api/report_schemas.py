"""A report as JSON, as the API documents it (`webapp.report.body`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from webapp.api.compare_schemas import Verdict
from webapp.api.schemas import Absent
from webapp.api.stream_schemas import EstimateResponse

_METHOD = "`raw`: the model's counts; `corrected` by people's labels; `every text is labelled`; `no texts`."


class _Reported(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReportedShares(_Reported):
    """Shares of texts that have a label, from 0 to 1, and net: positive less negative."""

    texts: int
    effective_texts: float
    labels: Annotated[int, Field(description="Labels of people by which it is corrected.")]
    method: Annotated[str, Field(description=_METHOD)]
    negative: EstimateResponse
    neutral: EstimateResponse
    positive: EstimateResponse
    net: EstimateResponse
    note: str | None


class ReportedTexts(ReportedShares):
    """All texts, or those of a segment."""

    labelled: Annotated[int, Field(description="Texts that came with a label of people.")]
    authors: Annotated[int | None, Field(description="Null if no column of authors was named.")]
    distinct_texts: int
    raw: Annotated[ReportedShares, Field(description="By the model's counts alone.")]


class ReportedSegment(ReportedTexts):
    """A segment."""

    name: str


class ReportColumns(_Reported):
    """The columns that were read; null: none was named."""

    time: str | None
    segment: str | None
    label: str | None
    author: str | None


class ReportCounts(_Reported):
    """What became of the job's lines."""

    lines: int
    counted: int
    failed: int
    unsupported_language: int
    not_mentioned: Annotated[int, Field(description="Texts that do not name the job's target.")]
    unanswered: Annotated[int, Field(description="Texts without an answer, as the job was cancelled.")]


class OtherSegments(_Reported):
    """Segments that have no figures of their own, as there are larger ones."""

    segments: int
    texts: int


class ReportedDifference(EstimateResponse):
    """The first less the second."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict


class ReportedComparison(_Reported):
    """Two segments, or one and all others, compared; the verdict is that of net."""

    first: str
    second: Annotated[str | None, Field(description="Null: all others together.")]
    sentence: str
    method: Annotated[str, Field(description=_METHOD)]
    level: Annotated[float, Field(description="Of each interval; together they hold with that of all.")]
    comparisons: int
    negative: ReportedDifference
    neutral: ReportedDifference
    positive: ReportedDifference
    net: ReportedDifference
    note: str | None


class ReportedComparisons(_Reported):
    """All comparisons, adjusted for their number."""

    adjusted_for: int
    adjustment: str
    level: float
    items: list[ReportedComparison]


class ReportedBucket(_Reported):
    """A bucket of time; one without texts has no shares."""

    start: str
    texts: int
    method: Annotated[str, Field(description=_METHOD)]
    negative: EstimateResponse | Absent = None
    neutral: EstimateResponse | Absent = None
    positive: EstimateResponse | Absent = None
    net: EstimateResponse | Absent = None


class ReportedSeries(_Reported):
    """All texts (null), or those of a segment, over time."""

    name: str | None
    buckets: list[ReportedBucket]


class ReportedShift(_Reported):
    """A lasting change of net by the model's scores."""

    segment: Annotated[str | None, Field(description="Null: all texts.")]
    sentence: str
    at: str
    earliest: str
    latest: str
    before: float
    after: float
    size: float
    low: float
    high: float


class ReportedShifts(_Reported):
    """When net changed."""

    false_alarms: Annotated[float, Field(description="The share of reports without a shift that tell one.")]
    items: list[ReportedShift]


class ReportedAgreement(_Reported):
    """How often the model agrees with people."""

    labels: int
    accuracy: float
    macro_recall: float
    confusion: Annotated[
        list[list[int]],
        Field(description="A row for each label of people, a column for each of the model: negative to positive."),
    ]


class ReportResponse(_Reported):
    """A report. Times are RFC 3339 in its time zone."""

    job: str
    status: Literal["succeeded", "failed", "cancelled"]
    model: str | None
    target: str | None
    created_at: str
    made_at: str
    columns: ReportColumns
    tz: str
    says: Annotated[list[str], Field(description="Sentences that may be printed.")]
    texts: ReportCounts
    first: Annotated[str | None, Field(description="The time of the earliest text.")]
    last: str | None
    overall: ReportedTexts
    segments: list[ReportedSegment]
    others: OtherSegments
    comparisons: ReportedComparisons
    bucket: Annotated[str | None, Field(description="The length of the buckets of `series`: `1h`, `1d`, ...")]
    series: list[ReportedSeries]
    shifts: ReportedShifts
    agreement: Annotated[ReportedAgreement | None, Field(description="Null without labels of people.")]
    notes: Annotated[list[str], Field(description="What was found in the columns that a reader should know.")]
    method: Annotated[dict[str, str], Field(description="How it was computed: a heading and a text each.")]
    limits: list[str]
