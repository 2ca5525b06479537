"""Signatures of callbacks, verified with the library and with the functions that the documentation gives."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tasks.work.delivery import signature, signed_headers
from tests.support.stack import ROOT

SECRET, JOB, BODY = "a secret", "0" * 32, b'{"id": "0"}'
KEY = bytes(range(230, 256))
WHSEC = f"whsec_{b64encode(KEY).decode()}"


@pytest.mark.parametrize("secret", [SECRET, WHSEC, "ümläut", "d2hzZWNf"])
def test_standard_webhook(secret: str) -> None:
    """The library verifies our callbacks, with a key in base64 after `whsec_` or the bytes of any other text.

    With another body, id, time or secret it refuses them.
    """
    now = int(time.time())
    headers = signed_headers(secret, JOB, now, BODY)
    key = secret if secret.startswith("whsec_") else secret.encode()
    assert Webhook(key).verify(BODY, headers) == {"id": "0"}
    wrong = [
        (key, BODY + b" ", headers),
        (key, BODY, headers | {"webhook-id": headers["webhook-id"] + "0"}),
        (key, BODY, headers | {"webhook-timestamp": str(now - 1)}),
        (b"another", BODY, headers),
        (key, BODY, signed_headers(secret, JOB, now - 400, BODY)),
    ]
    for key, body, changed in wrong:
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, changed)


def test_standard_webhook_by_hand() -> None:
    """The signature is the HMAC-SHA256 of id, dot, time, dot and body, in base64, computed without the library."""
    headers = signed_headers(WHSEC, JOB, 1_700_000_000, BODY)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (f"job-ended-{JOB}", "1700000000")
    told = f"job-ended-{JOB}.1700000000.".encode() + BODY
    expected = b64encode(hmac.new(KEY, told, "sha256").digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_deprecated_signature() -> None:
    """The deprecated signature is the HMAC-SHA256 of time, dot and body, as RFC 2104 by hand gives it."""
    key = SECRET.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + b"1700000000." + BODY).digest()
    expected = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()
    assert signature(SECRET, 1_700_000_000, BODY) == f"t=1700000000,v1={expected}"


def documented(name: str) -> Callable[..., Any]:
    """A function from the documentation for receivers."""
    scope: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/callbacks.md").read_text(), re.DOTALL):
        exec(code, scope)
    return cast(Callable[..., Any], scope[name])


verified, verify = documented("verified"), documented("verify")


@pytest.mark.parametrize("secret", [SECRET, WHSEC])
def test_documented_verification(secret: str) -> None:
    """The documented function accepts our callbacks, refuses all others, and never raises."""
    now = int(time.time())
    headers = signed_headers(secret, JOB, now, BODY)
    titled = {name.title(): value for name, value in headers.items()}
    assert verified(secret, headers, BODY) == verified(secret, titled, BODY) == {"id": "0"}
    assert verified(secret, headers, BODY + b" ") is None
    assert verified("other", headers, BODY) is None
    assert verified(secret, signed_headers(secret, JOB, now - 400, BODY), BODY) is None
    assert verified(secret, {}, BODY) is None
    assert verified(secret, headers, b"\xff") is None
    for nonsense in ("", "v1", "v1,é", "v1,!", "v2,AAAA", "v1,a,b"):
        assert verified(secret, headers | {"webhook-signature": nonsense}, BODY) is None


@given(st.text(min_size=1), st.binary(), st.binary())
def test_documented_verification_of_the_deprecated_header(secret: str, body: bytes, other: bytes) -> None:
    """A deprecated signature is valid only for its secret, body and time."""
    now = int(time.time())
    header = signature(secret, now, body)
    assert verify(secret, header, body)
    assert not verify(secret + "x", header, body)
    assert verify(secret, header, other) == (other == body)
    assert not verify(secret, header.replace("t=", "t=1"), body)
    assert not verify(secret, signature(secret, now - 310, body), body)
    assert not verify(secret, signature(secret, now + 310, body), body)


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=" + "0" * 64, "t=1,v1=", "t=1,v1=" + "é" * 64, "t=١,v1=" + "0" * 64, "t=-1,v1=x"]
)
def test_deprecated_header_is_nonsense(header: str) -> None:
    """A header that is not a signature is refused without an exception."""
    assert not verify(SECRET, header, BODY)
