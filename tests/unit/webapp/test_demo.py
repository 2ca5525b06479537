"""The texts of the demo."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from webapp.client.demo.phrases import CAMPAIGN, RELEASE, SHOW, Phrases
from webapp.client.demo.play import as_csv
from webapp.client.demo.stories import Mix, Text, campaign, labelled, release, show_before, show_live

NOW = datetime(2026, 11, 28, 12, 34, tzinfo=UTC)
STORIES: dict[str, Callable[[], list[Text]]] = {
    "show": lambda: show_before(NOW)[1],
    "campaign": lambda: campaign(NOW),
    "release": lambda: release(NOW)[1],
}


@pytest.mark.parametrize("story", STORIES)
def test_texts_are_many_and_various(story: str) -> None:
    """A story has hundreds of texts, nearly all different, in the order of their times, each with an id of its own and
    nothing left to be filled in; made again, they are the same.
    """
    texts = STORIES[story]()
    assert 400 <= len(texts) <= 1000
    assert len({one.text for one in texts}) > 0.9 * len(texts)
    assert len({one.id for one in texts}) == len(texts)
    assert [one.time for one in texts] == sorted(one.time for one in texts)
    assert all(NOW - timedelta(days=6) < one.time < NOW for one in texts)
    assert not [one.text for one in texts if "{" in one.text or len(one.text) > 200]
    assert STORIES[story]() == texts


@pytest.mark.parametrize("phrases", [SHOW, CAMPAIGN, RELEASE])
def test_every_name_in_braces_has_words(phrases: Phrases) -> None:
    """Each sentence can be filled in, with any of its words."""
    for mood in phrases.cores.values():
        for core in mood:
            assert "{" not in core.format(name="Pellwick", **{slot: words[0] for slot, words in phrases.words.items()})


def net(texts: list[Text]) -> float:
    """Positive less negative, as a share of the texts that have a mood."""
    moods = Counter(one.mood for one in texts if one.mood is not None)
    return (moods["POSITIVE"] - moods["NEGATIVE"]) / moods.total()


def test_moods_turn_as_told() -> None:
    """The show's mood falls, then rises when it is live; Pellwick is ahead; the release makes Android worse, iOS
    better.
    """
    writer, before = show_before(NOW)
    assert net(before[:240]) > 0.1 > -0.3 > net(before[300:])
    mixes: list[Mix] = [mix for _, mix in show_live(writer, 30, 6)]
    assert len(mixes) == 180
    assert [mix[2] > mix[0] for mix in mixes] == [False] * 60 + [True] * 120
    by_name = {name: [one for one in campaign(NOW) if one.segment == name] for name in ("Pellwick", "Hargreen")}
    assert net(by_name["Pellwick"]) > net(by_name["Hargreen"]) + 0.2
    at, texts = release(NOW)
    for platform, sign in (("Android", -1), ("iOS", 1)):
        here = [one for one in texts if one.segment == platform]
        change = net([one for one in here if one.time >= at]) - net([one for one in here if one.time < at])
        assert sign * change > 0.25


def test_the_file_has_a_random_sample_of_labels() -> None:
    """The demo's file has a row for each text; of each platform, before the release and after, at least 100 have a
    label.
    """
    at, texts = release(NOW)
    rows = list(csv.DictReader(io.StringIO(as_csv(texts, labelled(texts)).decode(), newline="")))
    assert [row["text"] for row in rows] == [one.text for one in texts]
    found = Counter((row["platform"], datetime.fromisoformat(row["time"]) >= at) for row in rows if row["label"] != "")
    assert len(found) == 4
    assert min(found.values()) >= 100
