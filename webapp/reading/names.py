"""Names of a caller's columns, sheets and files in messages: a cut name never looks whole, nor a cut list complete."""

from __future__ import annotations

from collections.abc import Sequence

_NAME = 60
_NAMES = 50
_BYTES = 3000


def cropped(text: str, length: int) -> str:
    """The text on one line, at most so long; `…` stands for what is left out."""
    line = " ".join(text.split()) if not text.isprintable() else text
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in line)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def quoted(name: str) -> str:
    """A name as messages show it."""
    return f"`{cropped(name, _NAME)}`"


def listed(names: Sequence[str]) -> str:
    """Names as messages show them: all, or as many as have room, and how many more there are."""
    shown: list[str] = []
    room = _BYTES
    for name in names[:_NAMES]:
        room -= len(quoted(name)) + 2
        if room < 0:
            break
        shown.append(quoted(name))
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
