"""Requests and responses of the labels of streams and jobs as the API documents them."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from model.labels import LABELS, SENTIMENT
from webapp.api.schemas import Asked, Request

CANNOT_TELL = "cannot tell"
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _told(label: object) -> object:
    if isinstance(label, str):
        if label.strip().lower().replace("_", " ") == CANNOT_TELL:
            return CANNOT_TELL
        return SENTIMENT.class_named(label) or label
    return label


def _printed(by: str) -> str:
    if _NOT_PRINTED.search(by):
        raise PydanticCustomError("not_printed", "must have printable characters only")
    return by.strip()


By = Annotated[
    str,
    Field(max_length=64, description="Who labels, as the person is to be called here: a name, or initials."),
    AfterValidator(_printed),
]
GivenLabel = TypeAliasType("GivenLabel", Literal["NEGATIVE", "NEUTRAL", "POSITIVE", "cannot tell"])
Told = Annotated[
    GivenLabel,
    BeforeValidator(_told),
    Field(description="In upper or lower case. `cannot tell` is an answer too; leaving texts out is not."),
]


class SampleQuery(Asked):
    """Which texts to label."""

    model_config = ConfigDict(extra="forbid")

    by: By = ""
    segment: Annotated[
        str | None, Field(description="Only texts of this segment. Default: of all, in proportion to their texts.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=500, description="The most texts.")] = 20
    start: Annotated[
        str | None, Field(alias="from", description="Only texts from this time on: ISO 8601, or Unix seconds.")
    ] = None
    end: Annotated[str | None, Field(alias="to", description="Only texts before this time.")] = None


class JobLabelsQuery(Asked):
    """By which column the texts of a job are told apart."""

    model_config = ConfigDict(extra="forbid")

    segment: Annotated[
        str | None, Field(description="The column by which texts are told apart, as the report is to have it.")
    ] = None


class JobSampleQuery(JobLabelsQuery):
    """Which texts of a job to label."""

    value: Annotated[
        str | None,
        Field(
            description="Only texts with this in that column. Default: of all, in proportion to their texts; labels of"
            " these count in reports by any column."
        ),
    ] = None
    by: By = ""
    limit: Annotated[int, Field(ge=1, le=500, description="The most texts.")] = 20


class LabelGiven(BaseModel):
    """A label of one text."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=64, description="The text's `id`, as /sample gave it.")]
    label: Told
    by: Annotated[By | None, Field(description="Takes precedence over `by` beside `labels`.")] = None


class LabelsRequest(Request):
    """Labels that a person gave to texts of a sample."""

    example: ClassVar[dict[str, Any]] = {"by": "anna", "labels": [{"id": "00f1a2b3c4d5e6f7", "label": "NEGATIVE"}]}
    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})

    labels: Annotated[list[LabelGiven], Field(min_length=1, max_length=1000, fail_fast=True)]
    by: By = ""

    @classmethod
    def read_any(cls, value: object) -> LabelsRequest:
        """Reads a body that is such an object, or the list of its labels alone."""
        return cls.read({"labels": value} if isinstance(value, list) else value)


class SegmentLabels(BaseModel):
    """How far the labels of a segment are."""

    segment: str | None
    counted: Annotated[int, Field(description="Labels that are used for the correction.")]
    needed: Annotated[int, Field(description="Labels that are missing before answers are corrected.")]
    cannot_tell: Annotated[int, Field(description="Texts of the random sample of which nobody could tell the label.")]
    set_aside: Annotated[
        int, Field(description="Labelled texts that are not used: it is not sure that they were chosen at random.")
    ]
    note: str


class AgreementOfTwo(BaseModel):
    """How far two people agree on the texts that both have labelled."""

    first: str
    second: str
    texts: int
    equal: Annotated[int, Field(description="Texts to which both gave the same label.")]
    kappa: Annotated[float | None, Field(description="Cohen's kappa; null where chance alone explains everything.")]
    low: float | None
    high: Annotated[float | None, Field(description="The 95 % interval of kappa; null below 30 texts.")]


class LabelsResponse(BaseModel):
    """How far the labels of a stream or a job are, and how far people agree."""

    labels: list[SegmentLabels]
    agreement: list[AgreementOfTwo]


class LabelsTaken(LabelsResponse):
    """The same, after labels were stored."""

    accepted: Annotated[int, Field(description="Labels that were stored.")]
    refused: Annotated[
        list[str], Field(description="Ids of texts that nobody was given to label: their labels were not stored.")
    ]


class SampleText(BaseModel):
    """A text to label."""

    id: str
    text: str
    segment: str | None
    time: Annotated[str, Field(description="When it was written, ISO 8601 in UTC.")]


class SampleResponse(LabelsResponse):
    """Texts that were chosen at random, in random order. Label them from the first one on."""

    items: list[SampleText]


class JobSampleText(BaseModel):
    """A text of a job to label."""

    id: Annotated[str, Field(description="What to send its label by; not the id that the line came with.")]
    position: Annotated[int, Field(description="The position of its line, as in /results.")]
    text: str
    segment: Annotated[str | None, Field(description="What it has in the column by which texts are told apart.")]


class JobSampleResponse(LabelsResponse):
    """Texts that were chosen at random, in random order. Label them from the first one on."""

    items: list[JobSampleText]


LABEL_INDEX: dict[str, int | None] = {label: index for index, label in enumerate(LABELS)} | {CANNOT_TELL: None}
"""The class's index of each label that a person may give."""
