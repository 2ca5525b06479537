"""Tables of pandas: sent as texts, and made of answers. It does not come with Sentiq; whoever has a table has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from math import isnan
from typing import Any

from webapp.client.types import Label, Line

_TABLES = ("pandas", "polars", "pyarrow", "dask", "modin", "pyspark")


def is_frame(texts: Any) -> bool:
    """Whether it is a pandas.DataFrame."""
    return _is_pandas(texts, "DataFrame")


def is_series(texts: Any) -> bool:
    """Whether it is a pandas.Series, or an Index."""
    return _is_pandas(texts, "Series", "Index")


def _is_pandas(texts: Any, *names: str) -> bool:
    """Whether it is of one of these classes of pandas, or of one that derives from it."""
    bases = [(base.__module__.split(".")[0], base.__name__) for base in type(texts).__mro__]
    return any(("pandas", name) in bases for name in names)


def refuse_misread(texts: Any) -> None:
    """Refuses what gives something else than its texts when it is iterated.

    Raises:
        TypeError: such as a table, which gives the names of its columns.
    """
    kind = type(texts)
    if is_frame(texts):
        raise TypeError(f"a DataFrame has several columns: say which has the texts, as in column={_example(texts)!r}")
    if kind.__module__.split(".")[0] in _TABLES and hasattr(texts, "columns"):
        library = kind.__module__.split(".")[0]
        raise TypeError(f"a table of {library} is not read here: give .to_pandas() of it, or a list of its texts")
    if isinstance(texts, Mapping):
        raise TypeError("a dict gives only its keys: give a list of texts, or of objects with `text` and `id`")
    if isinstance(texts, bytes | bytearray | memoryview):
        raise TypeError("bytes are no texts: give io.BytesIO(...) with content_type=, or a list of texts")
    if len(getattr(texts, "shape", ())) > 1:
        raise TypeError("an array of several dimensions gives rows: give one column of it")


def _example(frame: Any) -> str:
    """The column that may have the texts."""
    names = [str(name) for name in frame.columns] or ["text"]
    return next((name for name in names if name.lower() in ("text", "comment", "message")), names[0])


class FrameRows:
    """A frame's rows as objects for the service, each time anew."""

    def __init__(self, frame: Any, column: str) -> None:
        """`column`: the name of the column with the texts; the others are sent with them.

        Raises:
            ValueError: there is no such column, two have one name, or it has something that is no text.
        """
        self._frame = frame
        self._names = [str(name) for name in frame.columns]
        self._text = _place(self._names, column)
        _require_texts(frame.iloc[:, self._text])
        if len(set(self._names)) < len(self._names):
            twice = next(name for name in self._names if self._names.count(name) > 1)
            raise ValueError(f"two columns have the name {twice!r}; rename one of them")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        columns = [
            _texts(self._frame.iloc[:, place]) if place == self._text else map(_cell, self._frame.iloc[:, place])
            for place in range(len(self._names))
        ]
        for row in zip(*columns, strict=True):
            yield dict(zip(self._names, row, strict=True))


class Texts:
    """A series as texts, each time anew: what is missing is an empty text."""

    def __init__(self, series: Any) -> None:
        """Raises ValueError if there is anything else in it."""
        _require_texts(series)
        self._series = series

    def __iter__(self) -> Iterator[Any]:
        return _texts(self._series)

    def __len__(self) -> int:
        return len(self._series)


def readable(texts: Any, column: str | None) -> Any:
    """What gives the texts of a series, or of a frame and its column, when it is iterated; all else as it is.

    Raises:
        ValueError: a frame has no such column, or there is something in it that is no text.
    """
    if is_series(texts):
        return Texts(texts)
    return FrameRows(texts, column) if is_frame(texts) and column is not None else texts


def column_of(texts: Any, column: str | None) -> Any:
    """The series of the texts, of a frame or of a series.

    Raises:
        TypeError: it is neither, or no column was named.
        ValueError: there is no such column.
    """
    if is_series(texts):
        if column is not None:
            raise TypeError("a Series has one column; leave `column` out")
        return texts
    if not is_frame(texts):
        raise TypeError(f"predict_frame takes a DataFrame or a Series of pandas, and not {type(texts).__name__}")
    if column is None:
        refuse_misread(texts)
    return texts.iloc[:, _place([str(name) for name in texts.columns], str(column))]


def _place(names: list[str], column: str) -> int:
    if column not in names:
        raise ValueError(f"there is no column {column!r}; there are {', '.join(map(repr, names)) or 'none'}")
    if names.count(column) > 1:
        raise ValueError(f"two columns have the name {column!r}; rename one of them")
    return names.index(column)


def _texts(series: Any) -> Iterator[str]:
    for value, missing in zip(series, series.isna(), strict=True):
        yield "" if missing else value


def _require_texts(series: Any) -> None:
    """Raises ValueError for a series with anything but strings and what is missing."""
    for place, (value, missing) in enumerate(zip(series, series.isna(), strict=True)):
        if not (missing or isinstance(value, str)):
            name, kind = "the series" if series.name is None else f"column {series.name!r}", type(value).__name__
            raise ValueError(f"row {place} of {name} is no text, but {value!r} ({kind}); astype(str) makes texts of it")


def _cell(value: Any) -> Any:
    """A value of another column as JSON has it."""
    if value is None or type(value).__name__ in ("NaTType", "NAType") or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if getattr(value, "shape", None) == ():  # a number of numpy
        return _cell(value.item())
    return str(value)


def frame_of(lines: Sequence[Line], index: Any, job: str | None, classes: Sequence[Label]) -> Any:
    """A pandas.DataFrame of a job's lines, one for each value of the index."""
    import pandas

    rows = [
        [
            line.label,
            line.confidence,
            *((line.scores or {}).get(name) for name in classes),
            line.language["code"] if line.language else None,
            line.uncertain,
            line.error,
        ]
        for line in lines
    ]
    frame = pandas.DataFrame(rows, index, ["label", "confidence", *classes, "language", "uncertain", "error"])
    frame = frame.astype(dict.fromkeys(("confidence", *classes), float))  # None, where there is no other, too
    frame.attrs["job"] = job
    return frame
