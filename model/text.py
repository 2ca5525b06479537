"""Cleaning of texts. Only the cleaned text is scored, cached and compared, never the raw one."""

from __future__ import annotations

import html
import re
import unicodedata

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ENTITY = re.compile(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w@])@\w+")


def clean(text: str) -> str:
    """The text in the form that the model was trained on.

    Lone surrogates become U+FFFD (UTF-8 cannot encode them), HTML entities are decoded, and the text is normalised to
    Unicode NFC. Links become `http`, mentions `@user`; control characters and runs of white space become one blank.
    Emoji and upper case are kept. The result is empty if nothing is left to score.
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = unicodedata.normalize("NFC", text)
    text = _CONTROL.sub(" ", text)
    text = _LINK.sub("http", text)
    text = _MENTION.sub("@user", text)
    return " ".join(text.split())
