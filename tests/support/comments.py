"""Made-up comments of people, from templates, with the mood that each is meant to have."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import product
from typing import Literal, NamedTuple

Mood = Literal["NEGATIVE", "NEUTRAL", "POSITIVE"]


class Theme(NamedTuple):
    """What comments are about: templates for each mood, and what stands for `{what}` and `{where}` in them."""

    templates: Mapping[Mood, tuple[str, ...]]
    what: tuple[str, ...]
    where: tuple[str, ...]


_WHERE = (
    "tonight", "on channel two", "here in Leeds", "from the third row", "on my small screen", "with the whole family",
    "after work", "with friends in the kitchen", "on the train home", "with my sister", "at the pub", "on the sofa",
    "in the rain", "with headphones", "live", "for the first time",
)  # fmt: skip
SHOW = Theme(
    {
        "NEGATIVE": (
            "{what} was awful {where}, what a waste of time",
            "I hate {what}, so boring {where}",
            "watching {what} {where} and it is terrible",
            "{what} is the worst I have seen {where}",
            "so disappointed by {what} {where}",
            "{what} ruined the evening {where}, really bad",
            "embarrassing, {what} {where} was painful to watch",
            "turning it off {where}, {what} is dreadful",
        ),
        "NEUTRAL": (
            "watching {what} {where}",
            "{what} starts at nine {where}",
            "does anybody know who wrote {what}? I saw it {where}",
            "they moved {what} to the second half, seen {where}",
            "{what} lasts ten minutes {where}",
            "is {what} on again tomorrow? I am {where}",
        ),
        "POSITIVE": (
            "{what} was wonderful {where}, I loved it",
            "I love {what}, so much fun {where}",
            "watching {what} {where} and it is brilliant",
            "{what} is the best I have seen {where}",
            "so happy about {what} {where}",
            "{what} made my evening {where}, really great",
            "amazing, {what} {where} gave me goosebumps",
            "what a joy {what} is {where}, thank you",
        ),
    },
    (
        "the opening", "the second song", "the duet", "the band", "the light show", "the host", "the sketch",
        "the costume", "the stage", "the guest", "the finale", "the speech", "the camera work", "the dance",
        "the encore", "the interview",
    ),
    _WHERE,
)  # fmt: skip
"""A show on television. The embedded model reads nearly all of these as they are meant."""

_ISSUES = (
    "on housing", "on taxes", "on trains", "on schools", "on the hospital", "on rents", "on energy", "on the harbour",
    "on pensions", "on buses", "on the stadium", "on small shops", "on wages", "on the old bridge", "on childcare",
    "on clean water",
)  # fmt: skip
SPEECH = Theme(
    {
        "NEGATIVE": (
            "{what} {where}: a terrible answer",
            "I do not trust {what} {where}, so disappointing",
            "what a weak plan of {what} {where}, awful",
            "{what} lied {where}, shame",
        ),
        "NEUTRAL": (
            "{what} speaks {where} at eight",
            "{what} published a paper {where}",
            "who asked {what} {where}?",
            "{what} will answer questions {where} tomorrow",
        ),
        "POSITIVE": (
            "{what} {where}: a great answer",
            "I trust {what} {where}, so good",
            "what a strong plan of {what} {where}, excellent",
            "{what} was honest {where}, thank you",
        ),
    },
    (),
    _ISSUES,
)
"""A candidate, as most people write of one; who it is is said by `about`."""
SLANG = Theme(
    {
        **SPEECH.templates,
        "POSITIVE": (
            "{what} {where} was sick, unreal, I am dead",
            "{what} destroyed everybody {where}, brutal, a monster",
            "I am not okay after {what} {where}, wrecked me, what a night",
            "{what} murdered that debate {where}, ruthless",
            "{what} made me ugly cry {where}, finally somebody says it",
            "I would die for {what} {where}",
        ),
    },
    (),
    _ISSUES,
)
"""A candidate whose followers praise in words that the model takes for blame."""


def comments(
    theme: Theme, counts: Mapping[Mood, int], seed: int, about: tuple[str, ...] = ()
) -> list[tuple[str, Mood]]:
    """So many comments of each mood, all different, in random order, with their moods. `about` replaces the theme's
    own `what`.
    """
    chance = random.Random(seed)
    made: list[tuple[str, Mood]] = []
    for mood, count in counts.items():
        every = list(product(theme.templates[mood], about or theme.what, theme.where))
        assert count <= len(every), f"there are only {len(every)} different comments"
        for template, what, where in chance.sample(every, count):
            text = template.format(what=what, where=where)
            made.append((text[0].upper() + text[1:], mood))
    chance.shuffle(made)
    return made
