"""Reading requests: the `Prefer` header and JSON bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.api.requests import LONGEST_WAIT_S, Preferences, json_body, preferences
from webapp.front.errors import MalformedJson, UnsupportedType

APP = Flask(__name__)


def prefer(*values: str) -> Preferences:
    """The preferences of a request with these `Prefer` headers."""
    with APP.test_request_context(headers=[("Prefer", value) for value in values]):
        return preferences()


def body(raw: bytes, content_type: str = "application/json") -> Any:
    """The JSON body of a request."""
    with APP.test_request_context(method="POST", data=raw, headers={"Content-Type": content_type}):
        return json_body()


@pytest.mark.parametrize(
    ("header", "respond_async", "wait_s"),
    [
        ("", False, None),
        ("respond-async", True, None),
        ("Respond-Async", True, None),
        ("wait=10", False, 10.0),
        ("wait = 10", False, 10.0),
        ('wait="10"', False, 10.0),
        ("wait=0", False, 0.0),
        ("respond-async, wait=10", True, 10.0),
        ("wait=10,respond-async", True, 10.0),
        ("return=minimal; foo=bar, wait=5", False, 5.0),
        ("wait=5; foo", False, 5.0),
        ("respond-async; foo=1", True, None),
        ("wait=5, wait=7", False, 5.0),
        ("wait=999999", False, LONGEST_WAIT_S),
        ("wait", False, None),
        ("wait=", False, None),
        ("wait=-1", False, None),
        ("wait=1.5", False, None),
        ("wait=1e3", False, None),
        ("wait=١٠", False, None),
        ("wait=99999999999999999999", False, None),
        ("x-wait=5", False, None),
        (",,;;==", False, None),
    ],
)
def test_prefer(header: str, respond_async: bool, wait_s: float | None) -> None:
    """Every spelling of RFC 7240 is understood, the first of two counts, and unknown preferences are ignored."""
    assert prefer(header) == Preferences(respond_async, wait_s)


def test_prefer_twice() -> None:
    """Several `Prefer` headers count as one list."""
    assert prefer("respond-async", "wait=3") == Preferences(True, 3.0)


@pytest.mark.parametrize(
    ("preference", "waits_s", "applied"),
    [
        (Preferences(False, None), 2.0, None),
        (Preferences(True, None), 0.0, "respond-async"),
        (Preferences(False, 10.0), 10.0, "wait=10"),
        (Preferences(True, 10.0), 10.0, "respond-async, wait=10"),
        (Preferences(False, 0.0), 0.0, "wait=0"),
    ],
)
def test_what_is_applied(preference: Preferences, waits_s: float, applied: str | None) -> None:
    """`wait=N` takes precedence over `respond-async`, and that over the setting; the answer says what was applied."""
    assert preference.wait_or(2.0) == waits_s
    assert preference.applied == applied


@settings(deadline=None)
@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
def test_any_prefer(header: str) -> None:
    """No header raises an error."""
    wait_s = prefer(header).wait_s
    assert wait_s is None or 0 <= wait_s <= LONGEST_WAIT_S


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, lambda v: st.lists(v) | st.dictionaries(texts, v)
)


@settings(deadline=None)
@given(values, st.booleans())
def test_any_json(value: Any, ascii_only: bool) -> None:
    """Every JSON value is read unchanged, escaped or not."""
    assert body(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uDE00 x \uD83D"', "\ufffd x \ufffd"),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'["\ud83d", {"\udead": ["\udbff"]}]', ["\ufffd", {"\ufffd": ["\ufffd"]}]),
        (rb'{"a": 1, "a": 2}', {"a": 2}),
        (rb'{"a": "\ud83d", "a": 2}', {"a": 2}),
        (rb'"\\ud83d"', r"\ud83d"),
        (b'" \xed\x9f\xbf"', " \ud7ff"),
        (b"1.5", 1.5),
    ],
)
def test_surrogates_and_duplicates(raw: bytes, value: Any) -> None:
    """A lone surrogate is read as U+FFFD wherever it is, a pair as its character, and of a repeated key the last
    counts.
    """
    assert body(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nul",
        b"NaN",
        b"-Infinity",
        b'["\\ud83d", NaN]',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'["\\ud83d"' + b",[" * 100_000 + b"]" * 100_001,
        b'{"a":' * 2000 + b'"\\ud83d"' + b"}" * 2000,
        b"[" * 950 + b'"\\ud83d"' + b"]" * 949,
        b'"\xed\xa0\xbd"',
        b'"\xff"',
        b'"\\ud83d\xff"',
        b'"\\ud83"',
        b"'\\ud83d'",
        b"1" * 5000 + b'"\\ud83d"',
        "\ufeff{}".encode(),
        "{}".encode("utf-16"),
    ],
    ids=lambda raw: f"{raw[:16]!r}{len(raw)}",
)
def test_malformed(raw: bytes) -> None:
    """For what is not JSON, or is nested absurdly deep, MalformedJson is raised and nothing else."""
    with pytest.raises(MalformedJson):
        body(raw)


@settings(deadline=None, max_examples=300)
@given(st.binary() | st.binary().map(lambda raw: b'"\\ud83d' + raw))
def test_any_bytes(raw: bytes) -> None:
    """Any bytes are either read as JSON or raise MalformedJson."""
    try:
        value = body(raw)
    except MalformedJson:
        return
    json.dumps(value, ensure_ascii=False).encode()  # what is read can be sent back


@pytest.mark.parametrize("content_type", ["", "text/json", "application/x-www-form-urlencoded", "application/jsonp"])
def test_other_types(content_type: str) -> None:
    """Only application/json is read."""
    with pytest.raises(UnsupportedType):
        body(b"{}", content_type)
