"""What the client gives back about a stream: shares with their intervals, comparisons, shifts, texts to label.

Shares and net are fractions: 0.3 is 30 %, and net, positive less negative, is from -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import datetime
from math import nan
from typing import Any, Literal, Self, TypeVar, get_args, get_type_hints

from webapp.client.types import understood

T = TypeVar("T")
Verdict = Literal["ahead", "behind", "cannot be told"]


class _Read:
    """Base of the dataclasses that are read from JSON, with others in them."""

    __slots__ = ()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Reads it from JSON: times become `datetime`, and fields that only a newer service knows are dropped.

        Raises:
            SentiqError: that is no answer of Sentiq.
        """
        with understood:
            return cls(**{name: read(body[name]) for name, read in _readers(cls).items() if name in body})


_READERS: dict[type, dict[str, Callable[[Any], Any]]] = {}


def _readers(kind: type) -> dict[str, Callable[[Any], Any]]:
    """How each field of a dataclass is read."""
    if kind not in _READERS:
        _READERS[kind] = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    return _READERS[kind]


def _reader(hint: Any) -> Callable[[Any], Any]:
    kinds = get_args(hint) or (hint,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, _Read):
            return lambda value: None if value is None else kind.of(value)
        if kind is datetime:
            return lambda value: None if value is None else datetime.fromisoformat(value)
    return lambda value: value


@dataclass(frozen=True, slots=True)
class Estimate(_Read):
    """A share or a net with its interval of 95 %; `low` and `high` are None where no interval is honest."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference(_Read):
    """The first less the second; `level` is that of the interval, above 0.95 where several comparisons are made.
    `estimate` is NaN if one of the two has no texts.
    """

    estimate: float
    low: float | None
    high: float | None
    verdict: Verdict | None = None
    level: float = 0.95

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """See `_Read.of`."""
        empty = {"estimate": nan} if body.get("estimate", 0.0) is None else {}
        return super(Difference, cls).of({**body, **empty})


@dataclass(frozen=True, slots=True)
class Shares(_Read):
    """The shares of the labels in some texts."""

    negative: Estimate
    neutral: Estimate
    positive: Estimate
    net: Estimate
    texts: int
    effective_texts: float
    """How many independent texts would tell as much, where texts or authors repeat."""
    labels: int
    """How many labels of a person corrected them."""
    method: str
    """`raw`: by the model's labels; `corrected`: by a person's labels too; and other words that tell what was done."""
    note: str
    """What must be known about the intervals, as sentences."""


@dataclass(frozen=True, slots=True)
class Bucket(Shares):
    """The shares of a segment in a time."""

    start: datetime
    end: datetime
    segment: str | None = None
    failed: int = 0
    """Texts that could not be scored; they are in no share."""
    unsupported_language: int = 0
    """Texts in a language that the model does not read; they are in no share."""


@dataclass(frozen=True, slots=True)
class NamedShares(Shares):
    """The shares of one of those that are compared."""

    name: str


@dataclass(frozen=True, slots=True)
class Unmasked(_Read):
    """A comparison by scores of texts in which the names of segments stand as they are."""

    net: Difference
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison(_Read):
    """Two of those that are compared: the first less the second. `verdict` is that of net."""

    first: str
    second: str
    negative: Difference
    neutral: Difference
    positive: Difference
    net: Difference
    verdict: Verdict
    method: str
    comparisons: int
    """For how many comparisons at once the intervals are adjusted."""
    sentence: str
    """The verdict in words that may be printed."""
    note: str
    unmasked: Unmasked | None = None
    """The same by the texts as they are, where the names of segments were masked."""
    mask_changes_verdict: bool = False


@dataclass(frozen=True, slots=True)
class Shift(_Read):
    """A shift of net: when, from what to what, by how much."""

    at: datetime
    before: float
    after: float
    difference: Difference
    sentence: str
    segment: str | None = None
    found_at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    """Between these it happened; `at` is the most likely time."""
    texts_before: int | None = None
    texts_after: int | None = None
    false_alarms_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class SampledText(_Read):
    """A text of a random sample of a stream or a job, to be labelled."""

    id: str
    text: str
    segment: str | None = None
    time: datetime | None = None
    position: int | None = None
    """Of a job's text: the position of its line."""


@dataclass(frozen=True, slots=True)
class Labels(_Read):
    """The labels that people gave texts of a stream or a job."""

    labels: Sequence[Mapping[str, Any]]
    """Of each segment: how many count, and how many are needed before intervals are corrected by them."""
    agreement: Sequence[Mapping[str, Any]]
    """Of each two who labelled the same texts: how far they agree, as Cohen's kappa."""
    accepted: int = 0
    refused: Sequence[str] = ()
    """The ids of those that were not accepted."""


@dataclass(frozen=True, slots=True)
class StreamState(_Read):
    """A stream as it was when the client asked for it. Counts are texts."""

    name: str
    texts: int
    created_at: datetime
    expires_at: datetime
    failed: int = 0
    unsupported_language: int = 0
    repeated: int = 0
    """Texts whose id was there already; they are counted once."""
    segments: Sequence[Mapping[str, Any]] | None = None
    """What was counted of each segment, where the service tells it: `segment`, `texts`, `failed`,
    `unsupported_language`.
    """
    ttl: int | None = None
    keep_sample: bool = False
    mask_segments: Mapping[str, Sequence[str]] | bool | None = None
    sensitivity: float | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a stream: `data` is a Bucket (a minute) that has changed, a Shift, or the stream's
    state. None comes with `reset`: the reader has missed so much that they should read the series anew.
    """

    kind: Literal["bucket", "shift", "stream", "reset"]
    data: Bucket | Shift | StreamState | None


class Rows(list[T]):
    """A list of answers that can become a table."""

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each, and of an estimate the columns `net`, `net_low` and `net_high`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as missing:
            if missing.name != "pandas":
                raise
            raise ModuleNotFoundError("to_pandas() needs pandas: pip install pandas", name="pandas") from None
        return pandas.DataFrame([_flat(row) for row in self])


class Comparisons(Rows[Comparison]):
    """Comparisons, and the shares of each that is compared."""

    def __init__(
        self, items: Iterable[Comparison], shares: Rows[NamedShares], *, masked: bool, adjustment: str
    ) -> None:
        super().__init__(items)
        self.shares = shares
        self.masked = masked
        """Whether the names of segments were masked before texts were scored."""
        self.adjustment = adjustment
        """The method by which the intervals are adjusted for the number of comparisons."""


def _flat(row: Any) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name in _readers(type(row)):
        value = getattr(row, name)
        if isinstance(value, Estimate | Difference):
            parts = {part: getattr(value, part) for part in _readers(type(value))}
            cells |= {name if part == "estimate" else f"{name}_{part}": cell for part, cell in parts.items()}
        elif is_dataclass(value):
            cells |= {f"{name}_{part}": cell for part, cell in _flat(value).items()}
        else:
            cells[name] = value
    return cells


def rows(kind: type[Any], items: Iterable[Mapping[str, Any]]) -> Rows[Any]:
    """The items of an answer."""
    with understood:
        return Rows(kind.of(item) for item in items)
