"""Labels of a stream's sample: who is given which texts, and which labels count as a random sample."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from tasks.errors import TooManyLabels
from tasks.streams import labels as labels_module
from tasks.streams.counted import ENTRY
from tasks.streams.keys import stream_key
from tasks.streams.labelled import UNEVEN, agreements, answered, counted
from tasks.streams.labels import Label, StreamLabels
from tasks.streams.sampled import Sample
from tasks.streams.stream import Entry, Stream, StreamSettings
from tests.support.stack import Stack

STREAM = Stream(
    uid="5f0c7d0b",
    name="debate",
    owner="",
    settings=StreamSettings(ttl=600),
    salt=b"12345678",
    created_at=0,
    expires_at=600,
)
MINUTE_MS = 60_000


def entry(place: int, *, segment: str = "A", gold: int | None = None, time_ms: int | None = None) -> Entry:
    """A text of the sample: `place` is its place in the random order."""
    at = place * 7919 % 1000 * MINUTE_MS if time_ms is None else time_ms
    scores = (0.2, 0.3, 0.5) if place % 2 else (0.6, 0.3, 0.1)
    return Entry(f"{place:016x}", segment, at, scores, (0.4, 0.3, 0.3), place, 0, f"text {place}", gold)


def sample(count: int, **more: str) -> list[Entry]:
    """The sample of a segment, in its random order."""
    return [entry(place, **more) for place in range(count)]  # type: ignore[arg-type]


def sampled(entries: Iterable[Entry]) -> Sample:
    """The entries as they are read for estimates."""
    return Sample("A", (packed(one) for one in entries))


def packed(one: Entry) -> bytes:
    """An entry as it is stored."""
    masked, gold = one.masked or (0.0, 0.0, 0.0), -1 if one.gold is None else one.gold
    scores = one.scores[0], one.scores[2], float(one.masked is not None), masked[0], masked[2]
    return ENTRY.pack(bytes.fromhex(one.id), one.time_ms, *scores, gold, one.text_cluster, one.author_cluster)


def ids(entries: list[Entry]) -> list[str]:
    """The entries' ids."""
    return [one.id for one in entries]


@pytest.fixture
def labels(server: Stack) -> StreamLabels:
    """The labels of streams on a real server, which has the stream."""
    server.redis.hset(stream_key(STREAM.uid), "name", STREAM.name)
    server.redis.expire(stream_key(STREAM.uid), STREAM.settings.ttl)
    return StreamLabels(server.redis)


def test_labels_of_a_stream_that_is_deleted(labels: StreamLabels, server: Stack) -> None:
    """What is offered or labelled in the moment in which a stream is deleted leaves no key behind."""
    given = labels.offer(STREAM, sample(10), "ann", 5)
    server.redis.delete(STREAM.labels_key)
    labels.give(STREAM, [(one.id, 1) for one in given], "ann")
    assert not server.redis.keys(f"{STREAM.labels_key}*")
    labels.offer(STREAM, sample(10), "ann", 5)
    assert not server.redis.keys(f"{STREAM.labels_key}*")


def test_texts_come_in_their_random_order(labels: StreamLabels) -> None:
    """A person gets the first texts of the random order; again the same ones until they are labelled; then the next."""
    texts = sample(20)
    first = labels.offer(STREAM, texts, "anna", 5)
    assert ids(first) == ids(texts[:5])
    assert ids(labels.offer(STREAM, texts, "anna", 5)) == ids(first)
    assert labels.give(STREAM, [(one.id, 1) for one in first[:3]], "anna") == []
    assert ids(labels.offer(STREAM, texts, "anna", 5)) == ids(texts[3:8])


def test_two_people_get_different_texts_then_some_of_the_same(labels: StreamLabels) -> None:
    """Two people who label at once get different texts; once one has labelled some, the other gets one in five of
    these too.
    """
    texts = sample(40)
    anna, ben = (ids(labels.offer(STREAM, texts, by, 10)) for by in ("anna", "ben"))
    assert not set(anna) & set(ben)
    labels.give(STREAM, [(id, 2) for id in anna], "anna")
    labels.give(STREAM, [(id, 2) for id in ben], "ben")
    more = ids(labels.offer(STREAM, texts, "ben", 10))
    assert more == ids(texts[20:28]) + anna[:2]
    labels.give(STREAM, [(id, 0 if id == anna[0] else 2) for id in more], "ben")
    (pair,) = agreements(labels.given(STREAM).labels)
    assert (pair.first, pair.second, pair.agreement.texts, pair.agreement.equal) == ("anna", "ben", 2, 1)


def test_nobody_is_given_a_text_again_or_a_third_time(labels: StreamLabels) -> None:
    """What a person has labelled is not given to that person again, and what two have labelled not to a third."""
    texts = sample(30)
    twice = ids(labels.offer(STREAM, texts, "anna", 10))
    for by in ("anna", "ben"):
        labels.give(STREAM, [(id, 2) for id in twice], by)
    once = ids(labels.offer(STREAM, texts, "anna", 10))
    assert not set(once) & set(twice)
    labels.give(STREAM, [(id, 2) for id in once], "anna")
    third = ids(labels.offer(STREAM, texts, "carl", 10))
    assert third == ids(texts[20:28]) + once[:2]


def test_texts_of_somebody_who_left_are_given_to_others_last(labels: StreamLabels) -> None:
    """What another person was given and has not labelled is given only when there is nothing else."""
    texts = sample(6)
    left = ids(labels.offer(STREAM, texts, "anna", 4))
    assert ids(labels.offer(STREAM, texts, "ben", 4)) == [*ids(texts[4:]), *left[:2]]


def test_many_at_once_get_different_texts(labels: StreamLabels) -> None:
    """However many people ask in the same moment, no text is given to two of them while there are others."""
    texts = sample(200)
    got: list[str] = []

    def ask(by: str) -> None:
        got.extend(ids(labels.offer(STREAM, texts, by, 20)))

    threads = [threading.Thread(target=ask, args=(f"person {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 160
    assert max(Counter(got).values()) == 1


def test_the_second_label_of_a_person_takes_the_place_of_the_first(labels: StreamLabels) -> None:
    """A person who labels a text again has changed the answer; another person's label is kept beside it."""
    (one,) = labels.offer(STREAM, sample(1), "anna", 1)
    labels.give(STREAM, [(one.id, 0)], "anna")
    labels.give(STREAM, [(one.id, 1)], "ben")
    labels.give(STREAM, [(one.id, 2)], "anna")
    said = labels.given(STREAM).labels[one.id]
    assert sorted((label.by, label.label) for label in said) == [("anna", 2), ("ben", 1)]
    assert all(label.at_ms > 1_600_000_000_000 for label in said)


def test_labels_of_texts_that_nobody_was_given_are_refused(labels: StreamLabels) -> None:
    """A label of a text that somebody picked is not stored; the others of the same request are."""
    texts = sample(3)
    labels.offer(STREAM, texts, "anna", 1)
    assert labels.give(STREAM, [(texts[0].id, 0), (texts[2].id, 0), ("no such id", 1)], "anna") == [
        texts[2].id,
        "no such id",
    ]
    assert list(labels.given(STREAM).labels) == [texts[0].id]


def test_a_label_outlives_its_place_in_the_sample(labels: StreamLabels) -> None:
    """A text that has left the sample by the time its label comes still counts, with its scores."""
    texts = sample(10)
    labels.give(STREAM, [(one.id, 0) for one in labels.offer(STREAM, texts, "anna", 10)], "anna")
    found = counted(labels.given(STREAM), "A", sampled([]))
    assert found.count == 10
    assert found.labelled.scores[0].tolist() == list(texts[0].scores)


def test_no_text_is_kept_with_its_label(labels: StreamLabels, server: Stack) -> None:
    """What is kept of a labelled text has no text, and expires with the stream."""
    labels.give(STREAM, [(one.id, 0) for one in labels.offer(STREAM, sample(3), "anna", 3)], "anna")
    keys = [stream_key(STREAM.uid, part) for part in ("offers", "offered", "labels")]
    assert all(0 < server.redis.ttl(key) <= 600 for key in keys)
    assert b"text 1" not in server.redis.dump(keys[1])
    assert all(b"text " not in raw for raw in server.redis.hvals(keys[1]))


def test_a_stream_has_so_many_labels(labels: StreamLabels, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more texts are given out for labels than a stream may have, and no more labels are stored."""
    monkeypatch.setattr(labels_module, "MOST_LABELS", 5)
    texts = sample(10)
    labels.offer(STREAM, texts, "anna", 4)
    with pytest.raises(TooManyLabels):
        labels.offer(STREAM, texts, "ben", 4)
    with pytest.raises(TooManyLabels):
        labels.give(STREAM, [(one.id, 0) for one in texts[:6]], "anna")


def test_whoever_picks_has_no_random_sample(labels: StreamLabels) -> None:
    """Of 200 texts that a person was given, labels of every second one do not count: only the first few do. Once the
    rest is answered, also by "cannot tell", all count.
    """
    texts = sample(200)
    given = labels.offer(STREAM, texts, "anna", 200)
    labels.give(STREAM, [(one.id, 2) for one in given[1::2]], "anna")
    found = counted(labels.given(STREAM), "A", sampled(texts))
    assert (found.count, found.set_aside) == (0, 100)
    labels.give(STREAM, [(one.id, None) for one in given[::2]], "anna")
    found = counted(labels.given(STREAM), "A", sampled(texts))
    assert (found.count, found.cannot_tell, found.set_aside) == (100, 100, 0)


def test_whoever_stops_has_a_random_sample(labels: StreamLabels) -> None:
    """A person who is given 500 texts and labels the first 120 has labelled a random sample."""
    texts = sample(500)
    given = labels.offer(STREAM, texts, "anna", 500)
    labels.give(STREAM, [(one.id, 2) for one in given[:120]], "anna")
    assert counted(labels.given(STREAM), "A", sampled(texts)).count == 120


def test_one_persons_gaps_are_not_the_others(labels: StreamLabels) -> None:
    """Labels of one person count although another one, who got texts before, has done nothing."""
    texts = sample(100)
    labels.offer(STREAM, texts, "anna", 40)
    labels.give(STREAM, [(one.id, 2) for one in labels.offer(STREAM, texts, "ben", 40)], "ben")
    assert counted(labels.given(STREAM), "A", sampled(texts)).count == 40


def test_segments_are_samples_of_their_own(labels: StreamLabels) -> None:
    """Texts of one segment that are left out take nothing from another segment's labels."""
    texts = [
        one for pair in zip(sample(50), [entry(1000 + n, segment="B") for n in range(50)], strict=True) for one in pair
    ]
    given = labels.offer(STREAM, texts, "anna", 100)
    labels.give(STREAM, [(one.id, 2) for one in given if one.segment == "A"], "anna")
    kept = labels.given(STREAM)
    assert counted(kept, "A", sampled([])).count == 50
    assert counted(kept, "B", sampled([])).count == 0


def test_most_people_decide() -> None:
    """A text's label is that of most people; of two who differ, that of the first; of those who can tell."""
    one = entry(0)
    said = [Label("anna", 0, 1), Label("ben", 2, 2)]

    def label(*more: Label) -> list[int]:
        given = labels_module.Given([labels_module.Offer(one.id, "A", "anna")], {one.id: one}, {one.id: [*said, *more]})
        return list(map(int, counted(given, "A", sampled([])).labelled.gold))

    assert label() == [0]
    assert label(Label("carl", 2, 3)) == [2]
    said = [Label("anna", None, 1)]
    assert label(Label("ben", 1, 2)) == [1]
    assert label() == []


NOBODY = labels_module.Given([], {}, {})


def test_a_file_with_labels_on_all_texts_is_a_random_sample() -> None:
    """Labels that came with all texts of a time count, those of the sample; if only some texts have one, they do not,
    as somebody may have picked them, unless they are declared to be random.
    """
    full = [entry(place, gold=place % 3) for place in range(150)]
    assert counted(NOBODY, "A", sampled(full)).count == 150
    some = [entry(place, gold=1 if place % 2 else None) for place in range(150)]
    assert (counted(NOBODY, "A", sampled(some)).count, counted(NOBODY, "A", sampled(some)).set_aside) == (0, 75)
    for lucky in (1, 2, 9):  # so many at the head of the sample have one by chance
        by_chance = [entry(place, gold=1 if place < lucky or not place % 3 else None) for place in range(150)]
        assert counted(NOBODY, "A", sampled(by_chance)).count == 0
    assert counted(NOBODY, "A", sampled(full[:5])).count == 5
    declared = [one for one in some if one.gold is not None]
    assert counted(NOBODY, "A", sampled(some), declared=sampled(declared)).count == 75


def test_times_and_masked_scores() -> None:
    """Only labels of the asked time are given, with the scores that were asked for."""
    full = [entry(place, gold=1, time_ms=place * 1000) for place in range(100)]
    found = counted(NOBODY, "A", sampled(full), start=10, end=30, masked=True)
    assert found.times.tolist() == list(map(float, range(10, 30)))
    assert np.allclose(found.labelled.scores, (0.4, 0.3, 0.3))


def test_labels_of_texts_that_are_counted_no_more() -> None:
    """A label corrects only counts that are still there: those of some hours expire before others."""
    full = [entry(place, gold=1, time_ms=place * 60_000) for place in range(100)]
    there = np.array([0.0, 1800.0]), 900
    found = counted(NOBODY, "A", sampled(full), kept=there)
    assert found.times.tolist() == [60.0 * place for place in (*range(15), *range(30, 45))]
    assert (len(found.labelled), found.set_aside) == (30, 0)


def test_labels_of_one_time_are_said_to_be_uneven(labels: StreamLabels) -> None:
    """If only texts of the first hours were labelled, that is said; if texts of all times were, it is not."""
    texts = sample(1000)
    early = [one for one in texts if one.time_ms < 300 * MINUTE_MS]
    labels.give(STREAM, [(one.id, 1) for one in labels.offer(STREAM, early, "anna", 100)], "anna")
    kept = labels.given(STREAM)
    assert counted(kept, "A", sampled(texts)).note == UNEVEN
    assert counted(kept, "A", sampled(early)).note == ""
    labels.give(STREAM, [(one.id, 1) for one in labels.offer(STREAM, texts, "anna", 200)], "ben")


def test_answered() -> None:
    """The longest beginning of which nine in ten have labels."""
    order = list("abcdefghijklmnopqrst")
    assert answered(order, set()) == []
    assert answered(order, {"a"}) == ["a"]
    assert answered(order, set(order[:9])) == order[:10]
    assert answered(order, set(order) - {"a", "b"}) == order
    assert answered(order, set(order) - {"a", "b", "t"}) == []
    assert answered([], {"a"}) == []


def test_agreement_of_thousands() -> None:
    """However many names labels are given under, it is told between the 20 people who have labelled most: each two of
    5,000 would be twelve million.
    """
    everybody = [Label(f"p{number:04}", 1, number) for number in range(5000)]
    diligent = [Label(f"q{number:04}", number % 3, number) for number in range(25)]
    labels = {"first": [*everybody, *diligent]} | {f"text{number}": diligent for number in range(40)}
    pairs = agreements(labels)
    assert len(pairs) == 190
    assert {pair.first[0] + pair.second[0] for pair in pairs} == {"qq"}
    assert {pair.agreement.texts for pair in pairs} == {41}
