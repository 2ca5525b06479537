"""Names of a caller's columns, sheets and files in messages: a cut name never looks whole, nor a cut list complete."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import category

LONGEST_NAME = 200
"""Characters of the name of a job."""
_NAME = 60
_NAMES = 50
_ENDING = 12
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_BYTES = 3000


def cropped(text: str, length: int) -> str:
    """The text on one line, at most so long; `…` stands for what is left out."""
    line = " ".join(text.split()) if not text.isprintable() else text
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in line)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def name_of_file(path: str) -> str | None:
    """The name under which a file is kept in mind: without folders, on one line, of at most LONGEST_NAME characters; in
    a longer one, `…` stands before its ending for what is left out. None if nothing is left.

    Signs that turn the direction of writing stay: they are a part of names in some languages.
    """
    name = one_line(re.split(r"[/\\]", path)[-1])
    if len(name) > LONGEST_NAME:
        end = name[-_ENDING:]
        name = f"{name[: LONGEST_NAME - len(end) - 1]}…{end}"
    return name or None


def one_line(name: str) -> str:
    """A name without control characters and line breaks."""
    return " ".join("".join(" " if category(sign) in _CONTROL else sign for sign in name).split())


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
