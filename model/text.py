"""Cleaning: what is scored, cached and compared is the cleaned text, never the raw one."""

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
    """The text as the model was trained to see it.

    Lone surrogates become U+FFFD (no UTF-8 exists for them), HTML entities are decoded, the rest is brought to Unicode
    NFC, links become `http`, mentions `@user`, and control characters and runs of white space one blank. Emoji and case
    stay. The result is empty when nothing is left to score.
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = unicodedata.normalize("NFC", text)
    text = _CONTROL.sub(" ", text)
    text = _LINK.sub("http", text)
    text = _MENTION.sub("@user", text)
    return " ".join(text.split())
