"""Requests and responses as the API documents them. They serve HTTP alone; the packages below have their own types."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from model.target import MOST_CHARS, is_target
from model.warnings import WARNINGS
from webapp.front.errors import MOST_FAULTS

Label = Annotated[str, WithJsonSchema({"enum": [], "type": "string"})]
"""A class of the analysis; `webapp.api.openapi` fills in the names."""
Score = Annotated[float, Field(ge=0, le=1)]
ModelName = Annotated[
    str | None,
    Field(description="The name of a model of this service, where it has several. Default: the service's own choice."),
]


Calibrated = Annotated[
    bool | None,
    Field(
        description="Whether the model's scores were fitted to the shares of right answers. Not there while that is not"
        " known: no worker of this model has been ready lately."
    ),
]
TwoClass = Annotated[
    Literal[True] | None,
    Field(description="Only there if the model cannot give one of the labels, whose score is then always 0."),
]


def _named(target: str | None) -> str | None:
    if target is None or is_target(target):
        return target
    raise PydanticCustomError(
        "not_a_target", "must have a letter or digit, and at most {most} characters", {"most": MOST_CHARS}
    )


class Asked(BaseModel):
    """A request's body or query."""

    @classmethod
    def read(cls, value: object) -> Self:
        """Checks a JSON value. At most MOST_FAULTS of its unknown fields are looked at: pydantic makes an error for
        each one, which costs far more time and memory than parsing it.

        Raises:
            ValidationError: the value has faults (pydantic's error).
        """
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + MOST_FAULTS:
            known = {name: value[name] for name in cls.model_fields if name in value}
            others = islice((name for name in value if name not in known), MOST_FAULTS)
            value = known | dict.fromkeys(others)
        return cls.model_validate(value)


class Request(Asked):
    example: ClassVar[dict[str, Any]]

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, body: object) -> object:
        if isinstance(body, dict):
            return body
        raise PydanticCustomError(
            "not_an_object", "must be an object like {example}", {"example": orjson.dumps(cls.example).decode()}
        )


Target = Annotated[
    str | None,
    AfterValidator(_named),
    Field(
        description="What the text is scored towards, such as a person or product: only the parts that are about it are"
        " scored. A text that does not name it has no label, and the warning `not_mentioned`."
    ),
]


WithSentences = Annotated[bool, Field(description="Answer each sentence, too. Each counts as a text.")]


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
    time: Annotated[
        str | int | float | None, Field(description="In the stream: when it was written. Default: now.")
    ] = None
    author: Annotated[str | None, Field(description="In the stream: who wrote it; only a hash is kept.")] = None
    id: Annotated[
        str | int | None, Field(description="In the stream: a text whose id was counted before is not counted again.")
    ] = None

    example = {"text": "What a show, I loved it!"}
    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": [example]})


class BatchRequest(Request):
    """Texts to be scored as one job."""

    texts: Annotated[
        list[str],
        Field(
            min_length=1,
            fail_fast=True,
            description="At most MAX_BATCH_TEXTS. A text that cannot be scored gets an error of its own.",
        ),
    ]
    callback_url: Annotated[str | None, Field(description="Receives a signed POST when the job has ended.")] = None
    model: ModelName = None
    target: Target = None
    sentences: WithSentences = False

    example = {"texts": ["I loved it!", "The bus leaves at nine.", "Never again."]}
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


Warnings = Annotated[
    list[Literal["unsupported_language", "uncertain", "truncated", "two_class", "no_words", "not_mentioned"]],
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
    windows: Annotated[
        int, Field(ge=0, description="In how many parts the text was read: more than 1 if it is long.")
    ] = 1
    calibrated: Calibrated = None
    two_class: TwoClass = None
    target: Annotated[str | None, Field(description="As it was asked for; not there if it was not.")] = None
    about: Annotated[
        list[PartResponse] | None,
        Field(description="The parts of the text that are about the target: these were scored, as one text."),
    ] = None
    sentences: Annotated[list[SentenceResponse] | None, Field(description="Not there if not asked for.")] = None
    words: Annotated[list[WordResponse] | None, Field(description="Not there if not asked for.")] = None


class JobLinks(BaseModel):
    """The addresses of the job, its results and its events."""

    self: str
    results: str
    events: str


class CallbackResponse(BaseModel):
    """Where the job's end is posted, and whether that has succeeded."""

    url: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int


class JobResponse(BaseModel):
    """A job. Counts are lines; times are RFC 3339, UTC."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    receiving: Annotated[bool, Field(description="Its texts are still coming in.")]
    total: int
    done: Annotated[int, Field(description="Lines that have a prediction or an error.")]
    failed: Annotated[int, Field(description="Lines that have an error.")]
    unsupported_language: Annotated[
        int, Field(description="Lines without a label, as the model does not read their language.")
    ]
    cached: Annotated[int, Field(description="Lines whose prediction was in the cache when they came in.")]
    duplicates: Annotated[int, Field(description="Lines whose text came earlier in the job; each text is scored once.")]
    stream: Annotated[str | None, Field(description="The stream that its texts are for; not there without one.")] = None
    repeated: Annotated[
        int | None,
        Field(description="Lines that the stream did not count, as their ids had been counted; not there without one."),
    ] = None
    labels: Annotated[dict[Label, int], Field(description="Lines that have each label, of those done.")]
    requested_model: Annotated[
        str | None, Field(description="The name of the model that the request asked for; not there if it named none.")
    ] = None
    target: Annotated[str | None, Field(description="What the texts are scored towards; not there if nothing.")] = None
    not_mentioned: Annotated[
        int | None, Field(description="Lines without a label, as they do not name the target; not there without one.")
    ] = None
    model: Annotated[
        str | None, Field(description="The identity of the model that scored; null until a text was scored.")
    ]
    encoding: Annotated[
        str | None, Field(description="Of a file: its encoding. Not there before all of it has come in.")
    ] = None
    guessed: Annotated[
        bool | None, Field(description="Of a file: whether neither the file nor the request says its encoding.")
    ] = None
    delimiter: Annotated[str | None, Field(description="Of CSV: the delimiter.")] = None
    sheet: Annotated[str | None, Field(description="Of a spreadsheet: the name of the sheet that was read.")] = None
    file: Annotated[str | None, Field(description="Of a zip file: the name of the file in it.")] = None
    texts_per_s: Annotated[
        float | None,
        Field(
            description="Lines that workers answered, per second since the job began to run; null in its first second."
        ),
    ]
    eta_s: Annotated[float | None, Field(description="Seconds until the job's end at that rate, while it runs.")]
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: Annotated[str, Field(description="When the job and its results are deleted.")]
    callback: CallbackResponse | None
    links: JobLinks
    owner: Annotated[
        str | None, Field(description="The name of the key that made the job; only in answers to the scope admin.")
    ] = None
    calibrated: Calibrated = None
    two_class: TwoClass = None


class JobsResponse(BaseModel):
    """A page of jobs, the newest first. Of those in one state it may have fewer than `limit`, and others may follow."""

    items: list[JobResponse]
    next: Annotated[str | None, Field(description="The address of the next page, or null.")]


class JobsQuery(Asked):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="The most jobs in this page.")] = 50
    status: Annotated[
        Literal["queued", "running", "succeeded", "failed", "cancelled"] | None,
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
    callback_url: Annotated[str | None, Field(description="Receives a signed POST when the job has ended.")] = None
    model: ModelName = None
    target: Target = None
    sentences: WithSentences = False


class ModelQuery(Asked):
    """Which model to describe."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None


class LineError(BaseModel):
    """Why this one text has no prediction."""

    code: Annotated[str, Field(examples=["empty_text", "text_too_long", "text_failed"])]


class LineResponse(BaseModel):
    """One line of a job, in the input's order."""

    position: Annotated[int, Field(description="The line's position in the input, from 0.")]
    id: Annotated[str | int | None, Field(description="The line's id, as it was sent.")] = None
    columns: Annotated[
        dict[str, str] | None, Field(description="The other columns of the row, or the other keys of the object.")
    ] = None
    text: str
    status: Literal["done", "failed", "pending", "cancelled"]
    label: Label | None = None
    confidence: Score | None = None
    scores: Scores | None = None
    cached: bool | None = None
    model: str | None = None
    language: FoundLanguage = None
    uncertain: bool | None = None
    warnings: Warnings | None = None
    truncated: bool | None = None
    windows: int | None = None
    calibrated: Calibrated = None
    two_class: TwoClass = None
    sentences: Annotated[list[SentenceResponse] | None, Field(description="If the job asked for them.")] = None
    words: Annotated[list[WordResponse] | None, Field(description="If `/predict` made the job.")] = None
    error: LineError | None = None


class ResultsResponse(BaseModel):
    """A page of a job's lines; while the job runs, some may be pending."""

    job: JobResponse
    items: list[LineResponse]
    next: Annotated[str | None, Field(description="The address of the next page, or null.")]


class BatchResponse(BaseModel):
    """All texts of a small batch, in the input's order."""

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


Form = Annotated[
    str | None,
    Field(
        description="How the model is computed: a graph in `int8`, `bf16` or `fp32`; `pipeline...` for torch; `stub`."
        " Null if its worker is of an earlier version."
    ),
]


class HealthGate(BaseModel):
    """What was found when the compiled model was compared with torch in fp32."""

    labels_equal: Annotated[float, Field(ge=0, le=1, description="The share of texts with the same label.")]
    speedup: Annotated[float, Field(ge=0, description="How many times as fast it is.")]


class WorkerResponse(BaseModel):
    """A worker that is ready."""

    role: Literal["interactive", "batch"]
    model: str
    device: str
    name: Annotated[
        str | None,
        Field(description="Of a service with several models: the name of the one that the worker serves, or `*`."),
    ] = None
    texts_per_s: Annotated[
        float,
        Field(
            description="Tweets that its engine scores in a second: measured at its start, then by the work it does."
        ),
    ]
    form: Form = None
    gate: Annotated[
        HealthGate | None, Field(description="If the model was compiled here: what the comparison with torch found.")
    ] = None


class CompilingResponse(BaseModel):
    """A worker that will be ready when its model is compiled."""

    role: Literal["interactive", "batch"]
    model: str
    step: Annotated[str, Field(examples=["converting", "quantising", "checking"])]
    percent: Annotated[int | None, Field(ge=0, le=100, description="How much of the step is done, where it is known.")]
    seconds: Annotated[float, Field(ge=0, description="Since the worker began, or began to wait for another one.")]


class HealthResponse(BaseModel):
    """What the service needs, and whether it is there at this moment."""

    status: Literal["ready", "unready"]
    redis: Literal["up", "down"]
    workers: list[WorkerResponse]
    compiling: Annotated[
        list[CompilingResponse], Field(description="Workers that are not ready yet because they compile their model.")
    ]
    missing: Annotated[
        list[str],
        Field(
            description="What is missing for the service to be ready; also workers of models other than `*`, without"
            " which it is ready."
        ),
    ]


Percent = Annotated[float, Field(ge=0, le=100)]


class Recall(BaseModel):
    """The share of each class's texts that got its label, in per cent."""


class FileFigures(BaseModel):
    """Figures of one labelled file, in per cent."""

    data: Annotated[str, Field(description="Which texts these are.")]
    split: Annotated[
        Literal["dev", "test"],
        Field(description="Choices were made by the `dev` files while the model was developed, none by `test`."),
    ]
    texts: int
    macro_recall: Annotated[Percent, Field(description="The mean of the classes' recalls.")]
    macro_f1: Percent
    accuracy: Percent
    ece: Annotated[
        Percent, Field(description="Expected calibration error: how far confidence is from the share of right answers.")
    ]
    recall: Recall


class ModelClass(BaseModel):
    """A class of the model, and the label that it counts as."""

    name: str
    label: Label


class ModelTrial(BaseModel):
    """A compiled form of the model that was compared with torch in fp32, on texts of Sentiq's own."""

    form: Literal["int8", "bf16", "fp32"]
    passed: bool
    reason: Annotated[str, Field(description="Why it was turned down; empty if it passed.")]
    texts: Annotated[int, Field(ge=0, description="0 if it could not be made.")]
    labels_equal: Annotated[float, Field(ge=0, le=1, description="The share of texts with the same label.")]
    largest_margin: Annotated[
        float,
        Field(ge=0, description="Of texts with another label: how far apart torch's two highest scores are at most."),
    ]
    mean_difference: Annotated[float, Field(ge=0, description="The mean absolute difference of a score.")]
    alone_difference: Annotated[
        float, Field(ge=0, description="The largest difference between a text's scores alone and in a batch.")
    ]
    speedup: Annotated[float, Field(ge=0, description="Texts per second, divided by those of torch in fp32.")]


class ModelResponse(BaseModel):
    """The model that answers. From `name` on, its workers tell it: null until one has been ready."""

    model: Annotated[str | None, Field(description="The model's identity; null until a worker has been ready.")]
    labels: list[Label]
    figures: Annotated[
        list[FileFigures], Field(description="Measured figures; empty for any model other than the embedded one.")
    ]
    name: str | None
    form: Form
    classes: Annotated[
        list[ModelClass] | None, Field(description="The model's own classes, in the order of its outputs.")
    ]
    guessed: Annotated[
        bool | None,
        Field(description="Whether the meaning of its classes is only likely: `LABEL_0`, ... without a LABEL_MAP."),
    ]
    two_class: Annotated[
        bool | None, Field(description="Whether no class of the model counts as one of the labels, whose score is 0.")
    ]
    calibrated: Annotated[
        bool | None, Field(description="Whether scores were fitted to the shares of right answers (a temperature).")
    ]
    languages: Annotated[
        list[str] | None, Field(description="The languages that it reads, ISO 639-1; empty if that is unknown.")
    ]
    uncertain_below: Annotated[
        float | None, Field(description="The confidence below which an answer is `uncertain`; null for never.")
    ]
    max_tokens: Annotated[int | None, Field(description="The tokens of a text that are read; null if all are.")]
    gate: Annotated[
        list[ModelTrial] | None,
        Field(
            description="The compiled forms that were tried, the fastest first; empty if the model was not compiled."
        ),
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
    line: Annotated[int | None, Field(description="For an upload: the number of the line at fault, from 1.")] = None
    errors: list[FieldFault] | None = None
