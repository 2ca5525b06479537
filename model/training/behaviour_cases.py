"""The sentences of the behaviour tests, in three kinds as in CheckList (Ribeiro et al. 2020).

A sentence with a known label has to get it; a change that means nothing may not change the answer; a change that means
something has to move it that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

NEGATIVE, NEUTRAL, POSITIVE = "NEGATIVE", "NEUTRAL", "POSITIVE"
NEGATIVES, POSITIVES, NEUTRALS = (NEGATIVE,), (POSITIVE,), (NEUTRAL,)
NOT_NEGATIVE, NOT_POSITIVE = (NEUTRAL, POSITIVE), (NEUTRAL, NEGATIVE)


@dataclass(frozen=True)
class Expected:
    """A sentence, and the labels of which it has to get one."""

    capability: str
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Same:
    """Two texts that have to get the same answer."""

    capability: str
    text: str
    other: str


@dataclass(frozen=True)
class Moved:
    """Two texts, of which the second has to be more positive (`up`), or more negative, than the first."""

    capability: str
    text: str
    other: str
    up: bool


Case = Expected | Same | Moved

_THINGS = (
    "the service",
    "this phone",
    "the food",
    "the new update",
    "the show",
    "that hotel",
    "my flight",
    "the match",
)
_GOOD = ("good", "great", "wonderful", "helpful", "amazing")
_BAD = ("bad", "terrible", "awful", "useless", "disappointing")
_PLAIN = (
    "I love this song, it makes my day",
    "Best holiday we ever had, thank you all",
    "So happy that the team won tonight",
    "The staff were friendly and the room was lovely",
    "I hate waiting for this train every morning",
    "Worst customer service I have ever seen",
    "My new phone broke after two days and nobody helps",
    "Really sad news about the closing of the library",
    "The meeting has been moved to Thursday at nine",
    "There are two trains to the airport each hour",
    "The report is on the table in the second room",
    "He plays the guitar in a band from Leeds",
)
"""Sentences of each class, four of each."""
_MILD = (
    "The second half was better than I had expected",
    "Coffee is decent here and it is close to work",
    "Looking forward to the weekend with the family",
    "It took a while but they sorted it out in the end",
    "Nice to see a bit of sun in October",
    "The book is long and the end comes too soon",
    "Another rainy Monday and the bus is late",
    "Not sure what they were thinking with this design",
    "It could have been a bit warmer in the room",
    "They raised the price and removed the free parking",
    "The queue was longer than last time",
    "I would rather have stayed at home",
    "The new version has a dark theme",
    "I have read the first two chapters so far",
    "They are going to announce the winner tomorrow",
    "She has been asked to write about the election",
)
"""Sentences whose mood is slight: small changes show in these first."""
_CHANGED = (*_PLAIN, *_MILD)
_POSITIVE_EMOJI, _NEGATIVE_EMOJI = "😍😊👍🥰🎉", "😡👎😢🤮💔"


def _expected() -> Iterator[Expected]:
    for thing, good, bad in zip(_THINGS * 5, _GOOD * 8, _BAD * 8, strict=True):
        yield Expected("plain words", f"{thing} is {good}".capitalize(), POSITIVES)
        yield Expected("plain words", f"{thing} is {bad}".capitalize(), NEGATIVES)
    for thing, good in product(_THINGS, _GOOD):
        for text in (f"{thing} is not {good}", f"{thing} isn't {good} at all", f"I don't think {thing} is {good}"):
            yield Expected("negation", text[0].upper() + text[1:], NOT_POSITIVE)
    for thing, bad in product(_THINGS, _BAD[:3]):
        for text in (f"{thing} is not {bad}", f"{thing} is not {bad} at all", f"{thing} wasn't that {bad}"):
            yield Expected("not bad", text[0].upper() + text[1:], NOT_NEGATIVE)
    for thing, good, bad in zip(_THINGS * 5, _GOOD * 8, _BAD * 8, strict=True):
        yield Expected("but", f"I thought {thing} would be {good}, but it was {bad}", NEGATIVES)
        yield Expected("but", f"I thought {thing} would be {bad}, but it was {good}", POSITIVES)
        yield Expected("but", f"Although people say {thing} is {bad}, I find it {good}", POSITIVES)
        yield Expected("time", f"{thing} used to be {bad}, now it is {good}".capitalize(), POSITIVES)
        yield Expected("time", f"{thing} used to be {good}, now it is {bad}".capitalize(), NEGATIVES)
    for thing in _THINGS:
        for text in (
            f"Is {thing} any good?",
            f"Does anybody know when {thing} starts?",
            f"Where can I read about {thing}?",
        ):
            yield Expected("questions", text, NEUTRALS)
    for thing in _THINGS:
        for text in (
            f"Oh great, {thing} fails again.",
            f'Yeah right, {thing} is "great" 🙄',
            f"Thanks a lot for ruining my day, {thing}",
            f"Just what I needed, {thing} is broken again /s",
            f"{thing} is down once more. Brilliant. #sarcasm",
        ):
            yield Expected("sarcasm marks", text[0].upper() + text[1:], NEGATIVES)
    for sign in "👍🥰😀🙂🎉💪🤩❤":
        yield Expected("emoji alone", sign, POSITIVES)
    for sign in "👎🤮😡😢💔🤬😞🖕":
        yield Expected("emoji alone", sign, NEGATIVES)
    for text in (
        "#NotHappy",
        "#nothappy",
        "#WorstServiceEver",
        "#fail",
        "#NeverAgain",
        "#disappointed",
        "#sofrustrating",
    ):
        yield Expected("hashtags alone", text, NEGATIVES)
    for text in ("#SoHappy", "#sohappy", "#BestDayEver", "#ThankYou", "#loveit", "#grateful", "#welldone"):
        yield Expected("hashtags alone", text, POSITIVES)
    for text in ("k", "ok", "SELECT * FROM t;", "42", "asdf", "10:30", "...", "http", "@user", "lorem ipsum"):
        yield Expected("says nothing", text, NEUTRALS)


def _typo(text: str) -> str:
    """Two letters in the middle of the longest word are swapped."""
    word = max(text.split(), key=len)
    middle = len(word) // 2
    return text.replace(word, word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :], 1)


_CHANGES: dict[str, Callable[[str], str]] = {
    "typos": _typo,
    "mentions": lambda text: f"@somebody {text} @else",
    "links": lambda text: f"{text} https://example.com/a1",
    "capitals": str.upper,
    "small letters": str.lower,
    "full stop": lambda text: f"{text}.",
    "white space": lambda text: text.replace(" ", "  ") + "\n",
    "contractions": lambda text: (
        text.replace("I have", "I've").replace("I would", "I'd").replace("They are", "They're")
    ),
    "neutral words added": lambda text: f"{text}. It is Tuesday today and I am writing this from my desk",
    "neutral words before": lambda text: f"I am on the train to work and this is my view of it. {text}",
    "a neutral hashtag": lambda text: f"{text} #Tuesday",
    "colour of skin": lambda text: f"{text} 👋🏽",
}


def _same() -> Iterator[Same]:
    for (capability, change), text in product(_CHANGES.items(), _CHANGED):
        before = f"{text} 👋" if capability == "colour of skin" else text
        if (after := change(text)) != before:
            yield Same(capability, before, after)
    for text, sign in product(_CHANGED[:22], "!?"):
        yield Same("marks repeated", f"{text}{sign}", f"{text}{sign * 4}")
    for thing, (word, longer) in product(_THINGS, (("so", "sooo"), ("so", "soooooooo"))):
        yield Same("letters repeated", f"{thing} is {word} good", f"{thing} is {longer} good")
        yield Same("letters repeated", f"{thing} is {word} bad", f"{thing} is {longer} bad")
    for text in (
        "not happy",
        "worst service ever",
        "best day ever",
        "so proud",
        "never again",
        "thank you",
        "well done",
    ):
        tag = "".join(word.capitalize() for word in text.split())
        yield Same("hashtags of words", f"The match today, {text}", f"The match today, #{tag}")
        yield Same("hashtags of words", f"The match today, #{tag}", f"The match today, #{tag.lower()}")


def _moved() -> Iterator[Moved]:
    for thing, strong in product(_THINGS, ("very", "really", "extremely", "so")):
        yield Moved("intensifiers", f"{thing} is good", f"{thing} is {strong} good", up=True)
        yield Moved("intensifiers", f"{thing} is bad", f"{thing} is {strong} bad", up=False)
    for thing, weak in product(_THINGS, ("slightly", "a bit", "somewhat")):
        yield Moved("weakened", f"{thing} is disappointing", f"{thing} is {weak} disappointing", up=True)
    for text, sign in product((*_PLAIN[8:], "Off to work", "Here we go again"), _POSITIVE_EMOJI):
        yield Moved("emoji added", text, f"{text} {sign}", up=True)
    for text, sign in product((*_PLAIN[8:], "Off to work", "Here we go again"), _NEGATIVE_EMOJI):
        yield Moved("emoji added", text, f"{text} {sign}", up=False)
    for text, (good, bad) in product(_PLAIN[8:], zip(_POSITIVE_EMOJI, _NEGATIVE_EMOJI, strict=True)):
        yield Moved("emoji turned", f"{text} {good}", f"{text} {bad}", up=False)
    for text in _PLAIN[8:]:
        yield Moved("words added", text, f"{text}, I love it", up=True)
        yield Moved("words added", text, f"{text}, I hate it", up=False)
        yield Moved("hashtags added", text, f"{text} #awesome", up=True)
        yield Moved("hashtags added", text, f"{text} #fail", up=False)


def cases() -> list[Case]:
    """All cases, in the order of the table."""
    return [*_expected(), *_same(), *_moved()]
