"""JSON values as entries: strings, and objects whose other keys come back as a CSV file's columns do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

from tasks.jobs.job import Entry
from webapp.reading.columns import text_column
from webapp.reading.names import quoted
from webapp.reading.refusals import UploadRefused, invalid_option, malformed, no_texts
from webapp.reading.tables import OWN_ERRORS
from webapp.reading.texts import MAX_COLUMNS, Found, Options, Texts, check_header, entry_id

_NOTHING = object()
_DEEPEST = 3
"""So many objects within each other are shown by the paths to their values."""


class Objects:
    """Makes entries of the values of one file."""

    def __init__(self, options: Options, found: Found, column: str | None, within: str = "") -> None:
        """`column`: the key of the texts, or the path to it (`data.text`). `within`: the path to all of the values."""
        self._within = within
        self._options = options
        self._asked = column
        self._key = column or "text"
        self._path = self._key.split(".") if "." in self._key else None
        self._others: dict[str, int] = {}
        """The keys besides the text's, in the order in which they came."""
        self._place = 0
        self._read = Texts(iter(()), found, grows=True)

    def texts(self, values: Iterator[tuple[int, object]]) -> Texts:
        """The texts of these values; the first one is looked at.

        Raises:
            UploadRefused: here, or while the entries are iterated.
        """
        first = next(values, None)
        if first is None:
            raise no_texts()
        number, value = first
        asked = self._options.column
        # A path that led here has had its effect.
        if isinstance(value, str) and asked is not None and asked == self._asked and not self._within:
            raise invalid_option("`column` has no effect on strings; leave it out.")
        if isinstance(value, dict) and not self.has_text(value):
            check_header(tuple(map(str, value)), number)
            shown = leaves(value)
            row = [_cell(one) for one in shown.values()]
            names = tuple(self._within + leaf for leaf in shown)
            text_column(names, self._options, number, lambda: [row], names="object", one="key")
        entry = self._entry(value, number)
        self._read.entries = chain([(number, entry)], ((line, self._entry(one, line)) for line, one in values))
        return self._read

    def has_text(self, value: dict[str, object]) -> bool:
        """Whether an object has the key of the texts."""
        return self._key in value or (self._path is not None and self._key in _flat(value, self._path))

    def _entry(self, value: object, number: int) -> Entry:
        if isinstance(value, str):
            return Entry(value)
        if isinstance(value, Entry):
            return value
        if value is None:
            return Entry("")
        try:
            if isinstance(value, dict):
                return self._of(value, number)
            if isinstance(value, list):
                raise malformed("It is an array. Send rows as CSV, or as objects with keys.", number)
            raise malformed("It is neither a JSON string nor an object with a text.", number)
        except UploadRefused as refused:
            if self._options.own_errors and refused.code == "malformed_line":
                return Entry(_cell(value), None, (), "malformed_line")
            raise

    def _of(self, value: dict[str, object], number: int) -> Entry:
        key = self._key
        if self._path is not None and key not in value:
            value = _flat(value, self._path)
        text = value.get(key, _NOTHING)
        if text is None:
            text = ""
        if not isinstance(text, str):
            what = "has no" if text is _NOTHING else "has a value that is not a string at"
            raise malformed(f"The object {what} {quoted(key)}. {OWN_ERRORS}", number)
        given = value.get("id") if key != "id" else None
        found = None if given is None else entry_id(given, number)
        if self._read.columns is None and len(value) == 1 + ("id" in value and key != "id"):
            return Entry(text, found)
        return Entry(text, found, self._columns(value, number))

    def _columns(self, value: dict[str, object], number: int) -> tuple[str, ...]:
        others, key = self._others, self._key
        known = len(others)
        if self._read.columns is None:
            self._place = list(value).index(key)
        for name in value:
            if name not in others and name != key:
                others[name] = len(others)
        if len(others) > known:
            names = list(others)
            columns = (*names[: self._place], key, *names[self._place :])
            check_header(columns, number)
            self._read.columns, self._read.text_column = columns, self._place
        row = [""] * len(others)  # not cell by cell: objects with few of a thousand keys would take a thousand steps
        for name, one in value.items():
            if name != key:
                row[others[name]] = _cell(one)
        return tuple(row)


def _flat(value: dict[str, object], path: list[str]) -> dict[str, object]:
    """An object with the keys of the objects on the path in their places: `{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, object] = {}
    before = ""
    for part in path[:-1]:
        inner = value.get(part)
        if not isinstance(inner, dict):
            break
        flat |= {before + name: one for name, one in value.items() if name != part}
        before += f"{part}."
        value = inner
    return flat | {before + name: one for name, one in value.items()}


def leaves(value: dict[str, object], before: str = "") -> dict[str, object]:
    """The values of an object that are no objects, by the paths that lead to them, as far as there is room for them."""
    found: dict[str, object] = {}
    for name, one in value.items():
        if isinstance(one, dict) and before.count(".") < _DEEPEST:
            found |= leaves(one, f"{before}{name}.")
        else:
            found[before + name] = one
        if len(found) >= MAX_COLUMNS:
            break
    return found


def _cell(value: object) -> str:
    """A value as the cell of a column."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)
