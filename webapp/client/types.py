"""What the client gives back, and what it raises.

SentiqError         the service refused, or did not answer
├── JobNotFound     unknown or expired
├── StreamNotFound  unknown or expired
├── Unavailable     not there, or busy (429, 502 to 504), for longer than `patience_s`
└── WaitTimeout     the job has not ended in time; it is in `job`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypedDict

Label = Literal["NEGATIVE", "NEUTRAL", "POSITIVE"]
"""The labels of sentiment, which is what a service answers unless its ANALYSIS says otherwise. At run time a label is
whatever string the service sends.
"""
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class _Answer:
    """Base of the dataclasses that are read from the service's answers."""

    __slots__: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Reads it from JSON; fields that only a newer service knows are dropped.

        Raises:
            SentiqError: that is no answer of Sentiq.
        """
        with understood:
            return cls(**{name: body[name] for name in cls.__slots__ if name in body})


class Language(TypedDict):
    """The language that a text was found to be in; `sureness` is from 0 to 1."""

    code: str
    sureness: float


class Part(TypedDict):
    """A part of a text: `offset` and `length` are in characters of the text as it was sent."""

    text: str
    offset: int
    length: int


class Sentence(Part):
    """A sentence, with the answer that it gets as a text of its own."""

    label: Label | None
    confidence: float | None
    scores: Mapping[Label, float] | None


class Word(Part):
    """A word, or a few in a row: the confidence less the score that the label has without it."""

    weight: float | None


@dataclass(frozen=True, slots=True)
class Prediction(_Answer):
    """One text's prediction. `processing_time_ms` is None if it came by way of a job."""

    text: str
    label: Label | None
    """None if the model does not read the text's language (`unsupported_language`); so are confidence and scores."""
    confidence: float | None
    scores: Mapping[Label, float] | None
    model: str | None
    cached: bool
    truncated: bool
    processing_time_ms: float | None = None
    language: Language | None = None
    uncertain: bool = False
    warnings: Sequence[str] = ()
    """`unsupported_language`, `uncertain`, `truncated`, `two_class`, `no_words`, `not_mentioned`."""
    windows: int = 1
    """In how many parts the text was read."""
    target: str | None = None
    about: list[Part] | None = None
    """What was scored of the text, if a target was asked for."""
    sentences: list[Sentence] | None = None
    words: list[Word] | None = None


@dataclass(frozen=True, slots=True)
class Job(_Answer):
    """A job as it was when the client asked for it. Counts are lines."""

    id: str
    status: Status
    total: int
    done: int
    failed: int
    cached: int
    duplicates: int
    labels: Mapping[Label, int]
    model: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime
    receiving: bool = False
    texts_per_s: float | None = None
    eta_s: float | None = None
    callback: Mapping[str, Any] | None = None
    requested_model: str | None = None
    """The name of the model that was asked for, if any; `model` is the identity of the one that scored."""
    encoding: str | None = None
    """Of a file: its encoding."""
    guessed: bool | None = None
    """Of a file: whether neither it nor the request says its encoding."""
    delimiter: str | None = None
    """Of CSV."""
    sheet: str | None = None
    """Of a spreadsheet: the sheet that was read."""
    file: str | None = None
    """Of a zip file: the file in it."""
    name: str | None = None
    """What it was called: `name` of `submit`, or the name of a form's file."""
    owner: str | None = None
    """The name of the key that made it, which the service tells keys with the scope admin alone."""
    unsupported_language: int = 0
    """Lines without a label, as the model does not read their language."""
    target: str | None = None
    stream: str | None = None
    """The stream that counts the texts."""
    repeated: int = 0
    """The texts that it did not count, as it had counted their ids before."""
    not_mentioned: int = 0
    """Lines without a label, as they do not name the target."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """See `_Answer.of`; times become `datetime`."""
        with understood:
            times = {
                name: datetime.fromisoformat(value)
                for name, value in body.items()
                if name.endswith("_at") and value is not None
            }
        return super(Job, cls).of({**body, **times})

    @property
    def ended(self) -> bool:
        """Whether the job has ended and so will not change any more."""
        return self.status in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Line(_Answer):
    """One line of a job, with its prediction if `status` is done, with an error's code if it is failed."""

    position: int
    text: str
    status: Literal["done", "failed", "pending", "cancelled"]
    id: str | int | None = None
    columns: Mapping[str, str] | None = None
    label: Label | None = None
    confidence: float | None = None
    scores: Mapping[Label, float] | None = None
    truncated: bool | None = None
    cached: bool | None = None
    model: str | None = None
    error: str | None = None
    language: Language | None = None
    uncertain: bool = False
    warnings: Sequence[str] = ()
    windows: int | None = None
    sentences: list[Sentence] | None = None
    words: list[Word] | None = None


@dataclass(frozen=True, slots=True)
class Waiting(_Answer):
    """What one key has waiting for one model."""

    queue: Literal["interactive", "batch"]
    model: str
    """The name by which it was asked for; `*` for the default one."""
    owner: str | None
    """The name of the key; None without keys, or for texts of several callers together."""
    jobs: int
    texts: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Purged(_Answer):
    """What was given up when the queues were emptied."""

    cancelled_jobs: int
    removed_messages: int


class SentiqError(Exception):
    """The service refused, or did not answer. `str()` is for people, `code` for programs."""

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int | None = None,
        request_id: str | None = None,
        line: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """`status` is None if nothing answered; `line`, from 1, is the line of the upload at fault."""
        super().__init__(detail if line is None else f"Line {line}: {detail}")
        self.detail, self.code, self.status = detail, code, status
        self.request_id, self.line, self.retry_after_s = request_id, line, retry_after_s


class _Understood:
    """A context for reading an answer: what is not as Sentiq answers raises SentiqError.

    A generator's would double the time that a line of results takes.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(fault, ValueError | TypeError | KeyError | AttributeError | RecursionError):
            raise SentiqError(
                "What answers is not Sentiq, or of a version that does not fit.", code="not_sentiq"
            ) from fault


understood = _Understood()


class JobNotFound(SentiqError):
    """No job has this id, or it has expired."""


class StreamNotFound(SentiqError):
    """No stream of yours has this name, or it has expired."""


class Unavailable(SentiqError):
    """The service is not there, or asks to come back later."""


class WaitTimeout(SentiqError):
    """The job has not ended in the time given; it goes on."""

    def __init__(self, job: Job, timeout_s: float) -> None:
        """`job` is as it was last seen."""
        super().__init__(f"Job {job.id} has not ended within {timeout_s:g} s; it goes on.", code="wait_timeout")
        self.job = job
