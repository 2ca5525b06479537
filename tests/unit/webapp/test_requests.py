"""Reading requests: the `Prefer` header and JSON bodies."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest

from tasks.jobs.job import Entry
from webapp.api.batches import SMALL_BYTES, read_batch
from webapp.api.job_schemas import BatchRequest, JobsQuery, UploadQuery
from webapp.api.prediction_schemas import PredictRequest
from webapp.api.requests import LONGEST_WAIT_S, Preferences, json_body, list_header, preferences
from webapp.api.result_schemas import ResultsQuery
from webapp.front.errors import MOST_FAULTS, UnsupportedType
from webapp.reading.json_values import parse_json
from webapp.reading.refusals import InvalidEncoding, MalformedJson, UploadRefused
from webapp.reading.texts import Limits, Options, Texts

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
        b'"\\ud83"',
        b"'\\ud83d'",
        b"1" * 5000 + b'"\\ud83d"',
        "\ufeff\ufeff{}".encode(),
        "\ufeff".encode() * 5000,
    ],
    ids=lambda raw: f"{raw[:16]!r}{len(raw)}",
)
def test_malformed(raw: bytes) -> None:
    """For what is not JSON, or is nested absurdly deep, MalformedJson is raised and nothing else."""
    with pytest.raises(MalformedJson):
        body(raw)


@pytest.mark.parametrize("raw", [b'"\xed\xa0\xbd"', b'"\xff"', b'"\\ud83d\xff"', b'"caf\xe9"', "{}".encode("utf-16")])
def test_not_utf8(raw: bytes) -> None:
    """What is not UTF-8 is told apart from what is not JSON."""
    with pytest.raises(InvalidEncoding):
        body(raw)


def test_byte_order_mark() -> None:
    """A byte order mark before the body is no part of it."""
    assert body("\ufeff{}".encode()) == {}
    assert body(b'\xef\xbb\xbf"\\ud83d"') == "\ufffd"


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "none"])
def test_other_charsets(charset: str) -> None:
    """A body that is declared in another encoding than UTF-8 is not read, even if it is ASCII."""
    with pytest.raises(UnsupportedType):
        body(b"{}", f"application/json; charset={charset}")
    assert body(b"{}", "application/json; charset=UTF-8") == {}
    assert body(b"{}", "application/json; charset=us-ascii") == {}


@settings(deadline=None, max_examples=300)
@given(st.binary() | st.binary().map(lambda raw: b'"\\ud83d' + raw))
def test_any_bytes(raw: bytes) -> None:
    """Any bytes are either read as JSON or raise MalformedJson or InvalidEncoding."""
    try:
        value = body(raw)
    except (MalformedJson, InvalidEncoding):
        return
    json.dumps(value, ensure_ascii=False).encode()  # what is read can be sent back


@pytest.mark.parametrize("content_type", ["", "text/json", "application/x-www-form-urlencoded", "application/jsonp"])
def test_other_types(content_type: str) -> None:
    """Only application/json is read."""
    with pytest.raises(UnsupportedType):
        body(b"{}", content_type)


_SPELT = st.sampled_from(
    [
        r"\ud83d",
        r"\ude00",
        r"\uD83D\uDE00",
        r"\\",
        r"\"",
        r"\n",
        r"\u005c",
        "ud83d",
        "a",
        r"\\ud83d",
        r"\udBfF",
        r"\uDC00",
    ]
)


@given(st.lists(_SPELT, max_size=12).map("".join), st.lists(_SPELT, max_size=3).map("".join))
def test_any_surrogates(text: str, name: str) -> None:
    """However escapes follow each other, a JSON text is read as Python reads it, but for U+FFFD in the place of each
    lone surrogate.
    """
    raw = f'{{"{name}": ["{text}"]}}'
    expected = re.sub(r"[\ud800-\udfff]", "\ufffd", json.dumps(json.loads(raw), ensure_ascii=False))
    assert json.dumps(parse_json(raw.encode()), ensure_ascii=False) == expected


# More faults than anybody wants to know


MANY = 100_000
MODELS: list[tuple[type[Any], dict[str, Any]]] = [
    (PredictRequest, {"text": "x"}),
    (BatchRequest, {"texts": ["x"]}),
    (UploadQuery, {"column": "x"}),
    (JobsQuery, {"limit": "5"}),
    (ResultsQuery, {"limit": "5"}),
]


@pytest.mark.parametrize(("model", "right"), MODELS)
def test_many_unknown_fields(model: type[Any], right: dict[str, Any]) -> None:
    """Of any number of unknown fields the first are told, as of few, and for no other an error is made."""
    unknown = {f"n{number}": number for number in range(MANY)}
    for value in (unknown, unknown | right, right | unknown, unknown | dict.fromkeys(right, 1.5)):
        with pytest.raises(ValidationError) as few:
            model.model_validate(
                {name: value[name] for name in [*right, *list(unknown)[:MOST_FAULTS]] if name in value}
            )
        with pytest.raises(ValidationError) as many:
            model.read(value)
        assert many.value.errors(include_input=False) == few.value.errors(include_input=False)
    assert model.read(right) == model.model_validate(right)


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], {}, {"x": 1}, {f"n{number}": 1 for number in range(MOST_FAULTS + 1)}]
)
def test_few_faults_are_all_told(value: object) -> None:
    """What is wrong in few places is told as before."""
    with pytest.raises(ValidationError) as plain:
        PredictRequest.model_validate(value)
    with pytest.raises(ValidationError) as told:
        PredictRequest.read(value)
    assert told.value.errors(include_input=False) == plain.value.errors(include_input=False)


def batch(raw: bytes) -> Texts:
    """The batch in a body."""
    return read_batch(raw, Options(), Limits(max_bytes=2**30, max_line_bytes=2 * SMALL_BYTES))


LARGE = '{"texts": ["' + "x" * SMALL_BYTES + '", %s'


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ("5]}", "texts.1"),
        ("null]}", "texts.1"),
        ("[" * 500, "texts.1"),
        ('"a", ["b"]]}', "texts.2"),
        ('"a", {"text": "b"}], "lang": "en"}', "lang"),
        ('"a"], "lang": "en"}', "lang"),
        ('"a"], "callback_url": 5}', "callback_url"),
        ('"a"], "texts": 5}', "texts"),
    ],
)
def test_large_batch(rest: str, field: str) -> None:
    """Of a large batch the first fault is told."""
    with pytest.raises(ValidationError) as told:
        batch((LARGE % rest).encode())
    assert [fault["loc"] for fault in told.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    "raw",
    ["[]", '{"texts": []}', "5", "{}", '{"callback_url": "x"}', '"x"', '{"texts": "x"}', '{"n`x` - at `$.y`": 1}'],
)
def test_large_batch_without_texts(raw: str) -> None:
    """What is no batch is none at any length."""
    for body in (raw, raw + " " * SMALL_BYTES):
        with pytest.raises(ValidationError):
            batch(body.encode())


@pytest.mark.parametrize("rest", ['"a"', '"a",]}', '"a"]} x', '"\x01"]}', '"\\x"]}', '"a", "\\ud800"]} x', "NaN]}"])
def test_large_batch_that_is_no_json(rest: str) -> None:
    """What is no JSON is none at any length."""
    with pytest.raises(MalformedJson):
        batch((LARGE % rest).encode())


@pytest.mark.parametrize(
    "texts", [["a", ""], ["\ud83d\ude00", "\ud800", "\udc00 \ud83d"], ["\\ud800\ud800"], ["\u00e9\U0001f600\x00"]]
)
@pytest.mark.parametrize("callback_url", [None, "https://a.example/"])
def test_large_batch_is_as_a_small_one(texts: list[str], callback_url: str | None) -> None:
    """A batch is read as the same texts at any length."""
    more = {} if callback_url is None else {"callback_url": callback_url}
    small, large = (
        batch(json.dumps({"texts": [*texts, *others], **more}).encode()) for others in ([], ["x" * SMALL_BYTES])
    )
    assert list(large.entries)[:-1] == list(small.entries)
    assert large.options == small.options == more


@pytest.mark.parametrize("others", [[], ["x" * SMALL_BYTES]], ids=["small", "large"])
def test_batch_of_objects(others: list[str]) -> None:
    """The texts of a batch may be objects, with ids and with keys that are columns, beside strings, at any length; what
    the batch says besides them holds for all.
    """
    texts: list[object] = [
        *others,
        "\ud800",
        {"text": "b", "id": "b1"},
        {"text": None, "stars": 5},
        {"id": 3, "text": "c"},
    ]
    read = batch(json.dumps({"model": "de", "texts": texts, "sentences": True}).encode())
    assert [entry for _, entry in read.entries][len(others) :] == [
        Entry("\ufffd"),
        Entry("b", "b1"),
        Entry("", None, ("5",)),
        Entry("c", 3, ("", "3")),
    ]
    assert (read.options, read.columns) == ({"model": "de", "sentences": "true"}, ("text", "stars", "id"))


@pytest.mark.parametrize("others", [[], ["x" * SMALL_BYTES]], ids=["small", "large"])
@pytest.mark.parametrize("wrong", [{"id": 1}, {"text": 5}, {"text": "a", "id": [1]}], ids=["no text", "number", "id"])
def test_batch_with_a_wrong_object(others: list[str], wrong: dict[str, object]) -> None:
    """An object that cannot be read is refused with its position."""
    with pytest.raises(UploadRefused) as told:
        list(batch(json.dumps({"texts": [*others, "a", wrong]}).encode()).entries)
    assert (told.value.code, told.value.line) == ("malformed_line", len(others) + 2)


def test_large_batch_that_is_not_utf_8() -> None:
    """Bytes that are no UTF-8 are no JSON."""
    with pytest.raises(MalformedJson):
        batch(LARGE.encode() % b'"\xff"]}')


def test_endless_lists() -> None:
    """A list in headers that was sent many times over is refused before it is taken apart."""
    headers = [(name, "a/b," * 2000) for name in ("Accept", "Prefer") for _ in range(30)]
    with APP.test_request_context(headers=headers):
        for read in (preferences, lambda: list_header("Accept")):
            with pytest.raises(BadRequest, match="characters"):
                read()
        assert list_header("Accept-Encoding") == ""
