"""Responses about the shifts of a stream as the API documents them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class ShiftSize(BaseModel):
    """By how much net has changed, with its 95 % interval."""

    estimate: Annotated[float, Field(description="Net after less net before.")]
    low: float
    high: float


class ShiftResponse(BaseModel):
    """A lasting change of the mean of net: the probability of POSITIVE less that of NEGATIVE, by the model's scores.
    Times are RFC 3339, UTC.
    """

    number: Annotated[int, Field(ge=1, description="1 for the stream's first.")]
    segment: Annotated[str | None, Field(description="Null: texts that were sent without one.")]
    at: Annotated[str, Field(description="The most likely time of the change, by the times of the texts.")]
    earliest: Annotated[str, Field(description="With 95 % confidence, the change was not before this.")]
    latest: Annotated[str, Field(description="With 95 % confidence, the change was not after this.")]
    before: Annotated[float, Field(ge=-1, le=1, description="Net since the shift before this one.")]
    after: Annotated[float, Field(ge=-1, le=1, description="Net from the change until it was found.")]
    difference: ShiftSize
    texts_before: Annotated[int, Field(description="Texts behind `before`; equal ones count once.")]
    texts_after: Annotated[int, Field(description="Texts that came from the change until it was found.")]
    found_with: Annotated[str, Field(description="The time of the text with which it was found.")]
    found_at: Annotated[str, Field(description="When it was found, by the clock.")]
    false_alarms_per_day: Annotated[
        float,
        Field(description="How many shifts a day are to be expected at the stream's pace if nothing ever changes."),
    ]
    sentence: Annotated[str, Field(description="The shift in words.")]


class LateTexts(BaseModel):
    """Texts of a segment that were counted and not looked at for shifts."""

    segment: str | None
    texts: int


class ShiftsResponse(BaseModel):
    """The shifts of a stream, the newest first."""

    stream: str
    items: list[ShiftResponse]
    shifts: Annotated[int, Field(description="How many were found; of these, the newest 1,000 are kept.")]
    sensitivity: Annotated[float | None, Field(description="As the stream's settings say.")]
    texts_per_day: Annotated[
        int | None, Field(description="The stream's pace, by the times of its texts; null before the first.")
    ]
    false_alarms_per_day: Annotated[
        float | None, Field(description="As of the latest texts; null before the first. See the same of a shift.")
    ]
    late: list[LateTexts]
    note: Annotated[str, Field(description="What is looked for, and what is left out, in words.")]
