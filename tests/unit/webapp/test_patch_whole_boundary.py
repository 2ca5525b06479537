"""`webapp.api.patches.whole_boundary`."""

from __future__ import annotations

import pytest
from werkzeug.sansio import multipart

from tests.support.patches import mended
from webapp.api.patches.whole_boundary import Decoder

_FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\none\r\ntwo\r\n--b--\r\n'


def _contents(decoder: multipart.MultipartDecoder, cut: int) -> bytes:
    """The contents of the form's file if the form comes in two pieces."""
    contents = b""
    for piece in (_FORM[:cut], _FORM[cut:], None):
        decoder.receive_data(piece)
        while not isinstance(event := decoder.next_event(), multipart.NeedData | multipart.Epilogue):
            if isinstance(event, multipart.Data):
                contents += event.data
    return contents


def test_library_takes_a_line_break_for_contents() -> None:
    """Without the patch, the file of a form that is cut within its last boundary gets an additional byte."""
    cut = _FORM.index(b"--b--") + len(b"--b-")
    if _contents(multipart.MultipartDecoder(b"b"), cut) == b"one\r\ntwo":
        mended(
            "werkzeug",
            "webapp/api/patches/whole_boundary.py (webapp/api/forms.py makes a multipart.MultipartDecoder again)",
        )


@pytest.mark.parametrize("cut", range(len(_FORM) + 1))
def test_contents_are_as_sent(cut: int) -> None:
    """Wherever the form is cut, the file's contents are what was sent."""
    assert _contents(Decoder(b"b", max_parts=10), cut) == b"one\r\ntwo"
