"""Labels that people give to texts of a stream's sample: who was given which texts, and what they said of them.

    sentiq:s:<uid>:offers    what was given to whom, a sorted set of <id><segment>\\0<by>, in the order of giving
    sentiq:s:<uid>:offered   the entries of the sample that were given to anybody, without their texts, by id, a hash:
                             an entry may leave the sample before its label comes
    sentiq:s:<uid>:labels    the labels, a hash of [label, time in ms] by <id><by>: a person has one label of a text

Which labels count, and why, is in `tasks.streams.labelled`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from tasks.errors import TooManyLabels
from tasks.store.connections import Client
from tasks.streams.keys import stream_key
from tasks.streams.stream import Entry, Stream

MOST_LABELS = 20_000
"""The most labels of a stream, with those that are still to come for texts that were given out."""
_SHARED_OF = 5
"""One of so many texts is given to a second person, so that it can be told how far people agree ..."""
_MOST_SHARED = 100
"""... until so many texts have labels of two people."""
_AT_ONCE = 2000
"""Labels that are read at once; then others have their turns."""
_ID_CHARS = 16
_entry = msgspec.msgpack.Decoder(Entry).decode
_label = msgspec.json.Decoder(tuple[int | None, int]).decode


@dataclass(frozen=True, slots=True)
class Label:
    """What a person said of a text."""

    by: str
    """The person, as the person is called in this stream; empty if that was not said."""
    label: int | None
    """The class's index; None if the person could not tell."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A text that was given to a person to be labelled."""

    id: str
    segment: str
    by: str


@dataclass(frozen=True, slots=True)
class Given:
    """All offers and labels of a stream."""

    offers: list[Offer]
    """In the order in which they were made."""
    entries: dict[str, Entry]
    """The texts that were offered, by id, without the texts themselves."""
    labels: dict[str, list[Label]]
    """The labels of each text by its id, the oldest first."""


class StreamLabels:
    """Offers texts and takes labels. Raises redis.RedisError if the server is away."""

    def __init__(self, client: Client) -> None:
        """`client`: connected to the server of the streams."""
        self._client = client

    def offer(self, stream: Stream, entries: Sequence[Entry], by: str, limit: int) -> list[Entry]:
        """Gives a person texts to label.

        First those that the person was given before and has not labelled; then texts that nobody was given; then those
        that others were given and left. One in five is a text that somebody else has labelled, so that it can be told
        how far the two agree.

        Args:
            stream: the stream.
            entries: of the sample, in the order of their keyed hash, in which they are given.
            by: the person.
            limit: the most texts.

        Raises:
            TooManyLabels: the stream has as many as may be.
        """
        given = self.given(stream)
        mine = {offer.id for offer in given.offers if offer.by == by}
        open_ones = [entry for entry in entries if entry.id not in given.labels]
        shared = self._shared(given, entries, by, mine)[: limit // _SHARED_OF]
        chosen = [entry for entry in open_ones if entry.id in mine][:limit]
        fresh = (entry for entry in open_ones if entry.id not in given.entries)
        chosen += self._take(stream, fresh, limit - len(chosen) - len(shared), len(given.offers))
        left = [entry for entry in open_ones if entry.id in given.entries and entry.id not in mine]
        chosen += left[: max(0, limit - len(chosen) - len(shared))]
        chosen += shared[: limit - len(chosen)]
        self._note(stream, [entry for entry in chosen if entry.id not in mine], by)
        return chosen

    @staticmethod
    def _shared(given: Given, entries: Iterable[Entry], by: str, mine: set[str]) -> list[Entry]:
        """Texts that one other person has labelled, in their random order."""
        by_two = sum(len(labels) > 1 for labels in given.labels.values())
        if by_two >= _MOST_SHARED:
            return []
        said = {id for id, labels in given.labels.items() if len(labels) == 1 and labels[0].by != by}
        return [entry for entry in entries if entry.id in said and entry.id not in mine][: _MOST_SHARED - by_two]

    def _take(self, stream: Stream, entries: Iterable[Entry], count: int, offered: int) -> list[Entry]:
        """Takes up to `count` texts that nobody was given, also not in this moment by another process."""
        key = stream_key(stream.uid, "offered")
        taken: list[Entry] = []
        rest = iter(entries)
        while len(taken) < count:
            some = [entry for entry, _ in zip(rest, range(count - len(taken)), strict=False)]
            if not some:
                break
            if offered + len(taken) + len(some) > MOST_LABELS:
                raise TooManyLabels(MOST_LABELS)
            pipe = self._client.pipeline(transaction=False)
            for entry in some:
                pipe.hsetnx(key, entry.id, msgspec.msgpack.encode(msgspec.structs.replace(entry, text=None)))
            pipe.expire(key, stream.settings.ttl)
            taken += [entry for entry, new in zip(some, pipe.execute(), strict=False) if new]
        return taken

    def _note(self, stream: Stream, entries: Sequence[Entry], by: str) -> None:
        if not entries:
            return
        key, now_us = stream_key(stream.uid, "offers"), time.time_ns() // 1000
        pipe = self._client.pipeline(transaction=False)
        pipe.zadd(
            key, {f"{entry.id}{entry.segment}\0{by}": now_us + place for place, entry in enumerate(entries)}, nx=True
        )
        pipe.expire(key, stream.settings.ttl)
        pipe.execute()

    def give(self, stream: Stream, labels: Sequence[tuple[str, int | None]], by: str) -> list[str]:
        """Stores a person's labels by the texts' ids; a second one of the same person takes the place of the first.

        Returns:
            The ids that were not given to anybody: a label of such a text is not stored.

        Raises:
            TooManyLabels: the stream has as many as may be.
        """
        if not labels:
            return []
        key = stream_key(stream.uid, "labels")
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(stream_key(stream.uid, "offered"), [id for id, _ in labels])
        pipe.hlen(key)
        found, count = pipe.execute()
        if count + len(labels) > MOST_LABELS:
            raise TooManyLabels(MOST_LABELS)
        now_ms = time.time_ns() // 1_000_000
        known = {id: label for (id, label), entry in zip(labels, found, strict=True) if entry is not None}
        if known:
            pipe = self._client.pipeline(transaction=False)
            pipe.hset(key, mapping={f"{id}{by}": msgspec.json.encode((label, now_ms)) for id, label in known.items()})
            for part in ("labels", "offered", "offers"):  # a label counts as long as it is known who was given what
                pipe.expire(stream_key(stream.uid, part), stream.settings.ttl)
            pipe.execute()
        return list(dict.fromkeys(id for id, _ in labels if id not in known))

    def given(self, stream: Stream) -> Given:
        """All offers and labels of a stream."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrange(stream_key(stream.uid, "offers"), 0, -1)
        pipe.hgetall(stream_key(stream.uid, "offered"))
        pipe.hgetall(stream_key(stream.uid, "labels"))
        offers, offered, labels = pipe.execute()
        by_text: dict[str, list[Label]] = {}
        for place, (field, raw) in enumerate(labels.items()):
            if place % _AT_ONCE == 0:
                time.sleep(0)
            name = field.decode()
            label, at_ms = _label(raw)
            by_text.setdefault(name[:_ID_CHARS], []).append(Label(name[_ID_CHARS:], label, at_ms))
        for found in by_text.values():
            found.sort(key=lambda one: (one.at_ms, one.by))
        entries: dict[str, Entry] = {}
        for place, (id, raw) in enumerate(offered.items()):
            if place % _AT_ONCE == 0:
                time.sleep(0)
            entries[id.decode()] = _entry(raw)
        time.sleep(0)
        return Given(list(map(_offer, offers)), entries, by_text)


def _offer(member: bytes) -> Offer:
    name = member.decode()
    segment, _, by = name[_ID_CHARS:].rpartition("\0")
    return Offer(name[:_ID_CHARS], segment, by)
