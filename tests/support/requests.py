"""Hypothesis strategies for requests to `/predict`: most are nearly correct, and wrong in one way or two."""

from __future__ import annotations

import gzip
import itertools
import json

from hypothesis import strategies as st

from tests.support.twins import HOUSES, KEYS, ORIGIN, Asked
from webapp.front.admission import address_id

_numbers = itertools.count()
"""Numbers of callers: each request has its own caller, so that none is limited by earlier requests."""

_words = st.sampled_from(["good", "bad", "good", "poison", "a text", "", " ", "\u00e9\U0001f600", "x" * 300])
_texts = _words | st.text(max_size=30) | st.builds(str.__mul__, st.just("word "), st.integers(1, 4000))
_values = st.none() | st.booleans() | st.integers() | st.floats() | _texts | st.lists(_texts, max_size=2)
_spaces = st.sampled_from(["", "", "", " ", "\t", "\r\n", "\n  "])


def _quoted(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)


@st.composite
def _plain_bodies(draw: st.DrawFn) -> bytes:
    """Valid bodies `{"text": ...}` in various spellings."""
    text, space = _quoted(draw(_texts), draw(st.booleans())), draw(_spaces)
    body = f'{space}{{{space}"text"{space}:{space}{text}{space}}}{space}'
    return body.encode("utf-8", "surrogatepass")


@st.composite
def _other_bodies(draw: st.DrawFn) -> bytes:
    """Bodies with more fields, a field twice, another type, broken surrogates, or no JSON at all."""
    text = _quoted(draw(_texts), draw(st.booleans()))
    name = draw(st.sampled_from(["text", "te\\u0078t", "Text", "lang", ""]))
    other = json.dumps(draw(_values))
    kinds = [
        f'{{"text": {text}, "{name}": {other}}}',
        f'{{"{name}": {other}, "text": {text}}}',
        f'{{"{name}": {text}}}',
        f'{{"text": {other}}}',
        f'{{"text": "\\ud83d{text[1:]}}}',
        f'{{"text": "\\ud83d\\ude00{text[1:]}}}',
        f'\ufeff{{"text": {text}}}',
        f'{{"text": {text}}} x',
        f'[{{"text": {text}}}]',
        other,
        "{}",
        "",
    ]
    return draw(st.sampled_from(kinds)).encode("utf-8", "surrogatepass")


@st.composite
def _damaged_bodies(draw: st.DrawFn) -> bytes:
    """Valid bodies with a byte lost, changed or inserted, cut short, compressed, or in UTF-16."""
    body = bytearray(draw(_plain_bodies()))
    at = draw(st.integers(0, len(body) - 1))
    how = draw(st.sampled_from(["cut", "change", "put", "lose", "pack", "utf-16"]))
    if how == "cut":
        return bytes(body[:at])
    if how == "pack":
        return gzip.compress(bytes(body), 1)
    if how == "utf-16":
        return bytes(body).decode("utf-8", "replace").encode("utf-16")
    byte = draw(st.sampled_from([b"\xff", b"\0", b'"', b"\\", b"{", b" "]))
    body[at : at + (how != "put")] = b"" if how == "lose" else byte
    return bytes(body)


_HEADERS: dict[str, list[str]] = {
    "X-Request-ID": ["one", "a b", "", "x" * 129, "<script>", "\u00e9", "0" * 32],
    "Prefer": ["respond-async", "wait=5", "wait=0", "return=minimal", "", "wait=x, respond-async"],
    "Origin": [ORIGIN, "http://localhost", "https://b.example", "null", "", "HTTPS://A.EXAMPLE"],
    "SCRIPT_NAME": ["/x", "//evil.example", "/predict"],
    "Sec-Fetch-Site": ["cross-site", "same-site", "same-origin", "none", "Cross-Site", ""],
    "Content-Encoding": ["gzip", "identity", "Identity", "br", ""],
    "Content-Type": ["application/json", "text/plain"],
    "Accept": ["*/*", "text/html", "application/json;q=0", ""],
    "Expect": ["100-continue"],
    "Upgrade": ["websocket", "h2c"],
    "Connection": ["keep-alive", "Upgrade", "close"],
    "Idempotency-Key": ["one"],
    "X-Forwarded-Proto": ["https"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Access-Control-Request-Method": ["POST"],
    "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x"],
    "Cookie": ["session=x", "="],
}
_header_lines = st.sampled_from(list(_HEADERS)).flatmap(
    lambda name: st.sampled_from([f"{name}: {value}" for value in _HEADERS[name]])
)
_TYPES = [
    *["application/json"] * 30,
    *["application/json; charset=utf-8", "APPLICATION/JSON", "application/json ", "application/json;"],
    *["text/plain", "text/json", "application/x-www-form-urlencoded", "nonsense", ""],
]
_LINES = [
    *["POST /predict"] * 60,
    *["POST /predict?", "POST /predict?x=1", "POST /predict/", "POST //predict", "POST /%70redict", "POST /Predict"],
    *["GET /predict", "OPTIONS /predict", "PUT /predict", "BREW /predict", "HEAD /predict", "POST /", "POST /jobs"],
]
_HOSTS = ["Host: localhost"] * 20 + [
    "Host: evil.example",
    "Host: a b",
    "Host: ",
    "Host: [::1]:8000",
    "Host: x_y:99999",
    "Host: \u00e9",
]


def _keys(number: int) -> st.SearchStrategy[list[str]]:
    right = f"predict-{number}"
    return st.sampled_from(
        [
            *[[f"Authorization: Bearer {right}"]] * 6,
            [f"X-API-Key: {right}"],
            [f"Authorization: bearer   {right} "],
            [f"Authorization: Bearer {right}", "X-API-Key: guess"],
            [f"Authorization: Basic {right}", f"X-API-Key: {right}"],
            [f"Authorization: Bearer jobs-{number}"],
            ["Authorization: Bearer guess"],
            ["X-API-Key: \u00e9"],
            [],
        ]
    )


def _framed(draw: st.DrawFn, body: bytes) -> tuple[list[str], bytes]:
    """The headers that give the body's length (rightly or wrongly), and the body in its sent form."""
    how = draw(st.sampled_from([*["right"] * 20, "short", "long", "odd", "none", "chunks", "chunks cut"]))
    if how == "none":
        return [], body
    if how.startswith("chunks"):
        middle = draw(st.integers(0, len(body)))
        parts = [part for part in (body[:middle], body[middle:]) if part]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return ["Transfer-Encoding: chunked"], chunks if how == "chunks" else chunks[
            : draw(st.integers(0, len(chunks)))
        ]
    length = len(body)
    if how == "short":
        length = draw(st.integers(0, length))
    elif how == "long":
        length += draw(st.integers(1, 50))
    elif how == "odd":
        return [
            f"Content-Length: {draw(st.sampled_from([f'00{length}', f'+{length}', f' {length} ', '-1', 'x']))}"
        ], body
    return [f"Content-Length: {length}"], body


@st.composite
def predict_requests(draw: st.DrawFn) -> Asked:
    """Requests to `/predict` of all these kinds."""
    number = next(_numbers) % KEYS
    house = draw(st.sampled_from(sorted(set(HOUSES) - {"impatient"})))
    address = f"10.1.{number // 250}.{number % 250}"
    body = draw(st.one_of(_plain_bodies(), _plain_bodies(), _plain_bodies(), _other_bodies(), _damaged_bodies()))
    lengths, sent = _framed(draw, body)
    lines = [
        f"{draw(st.sampled_from(_LINES))} HTTP/1.1",
        draw(st.sampled_from(_HOSTS)),
        f"Content-Type: {draw(st.sampled_from(_TYPES))}",
        *draw(st.lists(_header_lines, max_size=3)),
        *(draw(_keys(number)) if house == "by key" or draw(st.booleans()) else []),
        *lengths,
    ]
    spent = None
    if house in ("by key", "by address") and draw(st.integers(0, 9)) == 7:
        spent = f"k{number}" if house == "by key" else address_id(address)
    return Asked("\r\n".join([*lines, "", ""]).encode("latin-1") + sent, house, address, spent)
