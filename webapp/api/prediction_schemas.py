"""`/predict` as the API documents it, and what is told of a text wherever it has an answer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from model.warnings import WARNINGS
from webapp.api.schemas import (
    Absent,
    Calibrated,
    Label,
    ModelName,
    Request,
    Score,
    Target,
    TextId,
    TextTime,
    TwoClass,
    WithSentences,
)


class PredictRequest(Request):
    """A text to be scored."""

    text: Annotated[
        str, Field(description="Plain text in English, the shorter the better: a tweet, a comment, a review.")
    ]
    model: ModelName = None
    target: Target = None
    sentences: WithSentences = False
    explain: Annotated[
        bool, Field(description="Tell how much each word weighs. Each of at most 64 words counts as a text.")
    ] = False
    stream: Annotated[str | None, Field(description="Count the text in this stream of yours, too.")] = None
    segment: Annotated[str | None, Field(description="In the stream: what the text is about.")] = None
    time: Annotated[TextTime | None, Field(description="In the stream: when it was written. Default: now.")] = None
    author: Annotated[str | None, Field(description="In the stream: who wrote it; only a hash is kept.")] = None
    id: Annotated[
        TextId | None, Field(description="In the stream: a text whose id was counted before is not counted again.")
    ] = None

    example: ClassVar[dict[str, Any]] = {"text": "What a show, I loved it!"}
    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})


class Scores(BaseModel):
    """The probability of each label; they sum to 1."""


class PartResponse(BaseModel):
    """A part of a text, in characters (Unicode code points)."""

    text: str
    offset: Annotated[int, Field(ge=0)]
    length: Annotated[int, Field(ge=1)]


class SentenceResponse(PartResponse):
    """A sentence, with the answer that it gets as a text of its own; nulls if it has none."""

    label: Label | None
    confidence: Score | None
    scores: Scores | None


class WordResponse(PartResponse):
    """A word, or a few in a row."""

    weight: Annotated[
        float | None,
        Field(
            ge=-1,
            le=1,
            description="The confidence less the score that the label has without the word; null if nothing is left"
            " without it.",
        ),
    ]


class LanguageResponse(BaseModel):
    """The language that a text was found to be in."""

    code: Annotated[str, Field(description="ISO 639-1.", examples=["en"])]
    sureness: Annotated[
        float, Field(ge=0, le=1, description="How far it leads before the next likely language, from 0 to 1.")
    ]


WarningCode = TypeAliasType(
    "WarningCode",
    Literal["unsupported_language", "uncertain", "truncated", "two_class", "no_words", "not_mentioned"],
)
Warnings = Annotated[
    list[WarningCode],
    Field(description=" ".join(f"`{code}`: {meaning}" for code, meaning in WARNINGS.items())),
]


Uncertain = Annotated[bool, Field(description="The confidence is below UNCERTAIN_BELOW, or the model's threshold.")]


FoundLanguage = Annotated[
    LanguageResponse | None, Field(description="Null if nothing can be told, as of a very short text.")
]


class PredictionResponse(BaseModel):
    """One text's prediction. Label, confidence and scores are null if the model does not read the text's language
    (OTHER_LANGUAGES).
    """

    text: Annotated[str, Field(description="The text as it was sent.")]
    status: Annotated[
        Literal["done"], Field(description="Tells this answer from a job's, which 202 has: that is never `done`.")
    ]
    label: Label | None
    confidence: Annotated[Score | None, Field(description="The highest of the scores.")]
    scores: Scores | None
    language: FoundLanguage
    uncertain: Uncertain
    warnings: Warnings
    cached: Annotated[bool, Field(description="The prediction was in the cache already.")]
    processing_time_ms: Annotated[
        float, Field(ge=0, description="Milliseconds from the request's arrival to its answer, within the service.")
    ]
    model: Annotated[str | None, Field(description="The identity of the model that scored: name@revision/engine.")]
    truncated: Annotated[bool, Field(description="The text is longer than the model reads; its end was left out.")]
    windows: Annotated[int, Field(ge=0, description="In how many parts the text was read: more than 1 if it is long.")]
    calibrated: Calibrated = None
    two_class: TwoClass = None
    target: Annotated[str | Absent, Field(description="As it was asked for; not there if it was not.")] = None
    about: Annotated[
        list[PartResponse] | Absent,
        Field(description="The parts of the text that are about the target: these were scored, as one text."),
    ] = None
    sentences: Annotated[list[SentenceResponse] | Absent, Field(description="Not there if not asked for.")] = None
    words: Annotated[list[WordResponse] | Absent, Field(description="Not there if not asked for.")] = None
