"""Requests and responses of comparisons as the API documents them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from webapp.api.label_schemas import SegmentLabels
from webapp.api.schemas import Asked
from webapp.api.stream_schemas import SharesResponse

MOST_SIDES = 20


class CompareQuery(Asked):
    """What to compare: two or more segments; a time before and after `at`; or this stream with another one."""

    model_config = ConfigDict(extra="forbid")

    a: Annotated[str | None, Field(description="A segment; with `b`.")] = None
    b: Annotated[str | None, Field(description="The segment with which `a` is compared.")] = None
    segment: Annotated[
        list[str],
        Field(
            max_length=MOST_SIDES,
            default_factory=list,
            description="Several times: segments, each of which is compared with each other one. Once: the segment"
            " whose times or streams are compared.",
        ),
    ]
    at: Annotated[
        str | None, Field(description="Compare the time before with that from then on: ISO 8601, or Unix seconds.")
    ] = None
    window: Annotated[
        str | None,
        Field(
            pattern=r"^[1-9][0-9]{0,5}[mhd]$",
            description="With `at`: so long before and after it, such as `30m`, `24h` or `7d`. Default: all there is.",
        ),
    ] = None
    with_: Annotated[
        str | None, Field(alias="with", description="The name of another stream, with which this one is compared.")
    ] = None
    start: Annotated[str | None, Field(alias="from", description="Only texts from this time on.")] = None
    end: Annotated[str | None, Field(alias="to", description="Only texts before this time.")] = None
    masked: Annotated[
        bool | None,
        Field(
            description="Use the scores of the texts with their segments' names masked, so that a name by itself does"
            " not move them. Default: true where segments of different names are compared, unless the stream masks"
            " nothing."
        ),
    ] = None


class NamedShares(SharesResponse):
    """The shares of one of the things that are compared."""

    name: str


Verdict = TypeAliasType("Verdict", Literal["ahead", "behind", "cannot be told"])


class DifferenceResponse(BaseModel):
    """The first less the second; nulls where no interval is honest, and everywhere if one of the two has no texts."""

    estimate: float | None
    low: float | None
    high: float | None
    verdict: Annotated[Verdict, Field(description="What is said of the first.")]
    level: Annotated[float, Field(description="Of the interval: above 0.95 where several comparisons are made.")]


class Unmasked(BaseModel):
    """The same comparison of the texts as they were sent, with the names in them."""

    net: DifferenceResponse
    verdict: Verdict


class ComparisonResponse(BaseModel):
    """Two of the things, compared. The verdict is that of net."""

    first: str
    second: str
    negative: DifferenceResponse
    neutral: DifferenceResponse
    positive: DifferenceResponse
    net: DifferenceResponse
    verdict: Verdict
    sentence: Annotated[str, Field(description="The verdict with its figures, to be printed.")]
    method: Annotated[str, Field(description="`corrected` if both sides are; otherwise both are taken raw.")]
    comparisons: Annotated[int, Field(description="For so many the intervals are adjusted.")]
    note: str
    unmasked: Annotated[Unmasked | None, Field(description="Null if names are not masked.")]
    mask_changes_verdict: bool


class ComparedLabels(SegmentLabels):
    """How far the labels of one of the things are."""

    name: str


class CompareResponse(BaseModel):
    """Comparisons."""

    items: list[ComparisonResponse]
    shares: list[NamedShares]
    labels: list[ComparedLabels]
    masked: bool
    adjustment: Annotated[str, Field(description="How intervals are adjusted for the number of comparisons.")]
    start: Annotated[str | None, Field(description="The time that was compared, in whole minutes or quarters.")]
    end: str | None
