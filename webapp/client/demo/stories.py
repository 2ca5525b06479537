"""The three stories of the demo: which texts come when, and in which mood."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from webapp.client.demo.phrases import CAMPAIGN, CLOSERS, ELSEWHERE, MOODS, OPENERS, RELEASE, SHOW, Phrases

Mix = tuple[int, int, int]
"""How many of ten texts are negative, neutral and positive."""
_REPEATED = 0.04
_ELSEWHERE = 0.02
LABELLED = 240
"""So many texts of each platform come with a label: what a person would have said of them, here the mood that they were
made in. They are chosen at random, more than the 100 that a correction needs before the release, and as many after it.
"""


@dataclass(frozen=True, slots=True)
class Text:
    """One text with what is known of it."""

    text: str
    time: datetime
    segment: str | None
    author: str
    id: str
    mood: str | None
    """The mood that it was made in; None for a text in another language."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes texts; the same seed makes the same ones."""

    phrases: Phrases
    random: random.Random
    name: str
    written: list[str]
    """What it has written so far, some of which is repeated as people do."""

    @classmethod
    def of(cls, name: str, phrases: Phrases) -> Writer:
        """The writer of a story."""
        return cls(phrases, random.Random(f"sentiq {name}"), name, [])

    def write(self, mix: Mix, time: datetime, segment: str | None = None, name: str | None = None) -> Text:
        """A text in a mood by chance. `name`: what `{name}` stands for."""
        number, choose = len(self.written), self.random.choice
        mood: str | None = self.random.choices(MOODS, mix)[0]
        chance = self.random.random()
        if chance < _ELSEWHERE:
            mood, text = None, f"{choose(ELSEWHERE)} {choose(self.phrases.hashtags)}"
        else:
            text = self._sentence(str(mood), name)
        self.written.append(text)
        return Text(text, time, segment, f"{self.name}-{self.random.randrange(400)}", f"{self.name}-{number}", mood)

    def repeated(self, text: Text, time: datetime) -> Text:
        """The same text, passed on by somebody else."""
        number = len(self.written)
        self.written.append(text.text)
        author = f"{self.name}-{self.random.randrange(400)}"
        return Text(text.text, time, text.segment, author, f"{self.name}-{number}", text.mood)

    def passes_on(self) -> bool:
        """Whether the next text is one of before, by chance."""
        return self.random.random() < _REPEATED

    def _sentence(self, mood: str, name: str | None) -> str:
        choose = self.random.choice
        words = {slot: choose(some) for slot, some in self.phrases.words.items()}
        core = choose(self.phrases.cores[mood]).format(name=name, **words)
        opener = choose(OPENERS[mood])
        sentence = f"{opener}{core}" if opener else core[0].upper() + core[1:]
        if not sentence.endswith("?"):
            sentence += choose(("", ".", ".", "!" if mood != "NEUTRAL" else "."))
        sentence += choose(CLOSERS[mood])
        if self.random.random() < 0.2:
            sentence += f" {choose(self.phrases.hashtags)}"
        return sentence.lower() if self.random.random() < 0.15 else sentence


def show_before(now: datetime) -> tuple[Writer, list[Text]]:
    """The show's last 40 minutes: a good start, then a joke that many find cruel."""
    writer = Writer.of("show", SHOW)
    texts = [
        writer.write((2, 3, 5) if minute < 22 else (7, 2, 1), now - timedelta(minutes=40 - minute - second / 60))
        for minute in range(40)
        for second in range(0, 60, 5)
    ]
    return writer, texts


def show_live(writer: Writer, seconds: int, rate: int) -> Iterator[tuple[float, Mix]]:
    """When, in seconds from now, a text comes, and in which mood: after a third of the time the finale lifts it."""
    for second in range(seconds):
        for place in range(rate):
            yield second + place / rate, (7, 2, 1) if second < seconds // 3 else (1, 2, 7)


CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "Pellwick": ("Pellwick", "Nora Pellwick", "@norapellwick"),
    "Hargreen": ("Hargreen", "Tomas Hargreen", "@tomhargreen"),
}


def campaign(now: datetime) -> list[Text]:
    """Six hours about two candidates: one is liked more, and the other's evening is better than the afternoon was."""
    writer = Writer.of("campaign", CAMPAIGN)
    texts: list[Text] = []
    for number in range(720):
        time = now - timedelta(seconds=30 * (720 - number))
        if texts and writer.passes_on():
            texts.append(writer.repeated(writer.random.choice(texts[-40:]), time))
            continue
        segment = writer.random.choices(list(CANDIDATES), (3, 2))[0]
        late = number >= 430
        mixes: dict[str, Mix] = {"Pellwick": (3, 2, 5), "Hargreen": (4, 2, 4) if late else (6, 2, 2)}
        texts.append(writer.write(mixes[segment], time, segment, writer.random.choice(CANDIDATES[segment])))
    return texts


def release(now: datetime) -> tuple[datetime, list[Text]]:
    """When the release came, and what customers on two platforms wrote in the days before and after."""
    writer = Writer.of("release", RELEASE)
    at = (now - timedelta(hours=60)).replace(minute=0, second=0, microsecond=0)
    texts = []
    for number in range(900):
        time = now - timedelta(minutes=8 * (900 - number))
        segment = writer.random.choices(("Android", "iOS"), (3, 2))[0]
        after: Mix = (7, 2, 1) if segment == "Android" else (2, 2, 6)
        texts.append(writer.write(after if time >= at else (3, 3, 4), time, segment))
    return at, texts


def labelled(texts: list[Text]) -> dict[str, str]:
    """The labels of a random sample of each segment, by the texts' ids."""
    chance = random.Random("sentiq labels")
    found: dict[str, str] = {}
    for segment in dict.fromkeys(text.segment for text in texts):
        here = [text for text in texts if text.segment == segment and text.mood is not None]
        found |= {text.id: str(text.mood) for text in chance.sample(here, LABELLED)}
    return found
