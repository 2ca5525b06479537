"""Labels that people give to texts of a random sample, of a stream or of a job: who was given which texts, and what
they said of them. Of a stream they are at

    sentiq:s:<uid>:offers    what was given to whom, a sorted set of <id><segment>\\0<by>, in the order of giving
    sentiq:s:<uid>:offered   the entries of the sample that were given to anybody, without their texts, by id, a hash:
                             an entry may leave the sample before its label comes
    sentiq:s:<uid>:labels    the labels, a hash of [label, time in ms] by <id><by>: a person has one label of a text

and of a job at `sentiq:j:<job>:offers` and so on. Which labels count, and why, is in `tasks.streams.labelled`; of jobs,
in `tasks.streams.job_labels`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tasks.errors import TooManyLabels
from tasks.store.connections import Client
from tasks.streams.stream import Entry

MOST_LABELS = 20_000
"""The most labels of a stream or a job, with those that are still to come for texts that were given out."""
MOST_OFFERS = 2 * MOST_LABELS
"""The most times that texts of a stream or a job are given out: those that somebody has left go to others too."""
PARTS = ("labels", "offers", "offered")
"""The parts of a stream's key, or a job's, in which they are."""
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
    """All offers and labels of a stream or a job."""

    offers: list[Offer]
    """In the order in which they were made."""
    entries: dict[str, Entry]
    """The texts that were offered, by id, without the texts themselves."""
    labels: dict[str, list[Label]]
    """The labels of each text by its id, the oldest first."""


class Sampled(Protocol):
    """A stream or a job, of whose texts there is a random sample."""

    @property
    def labels_key(self) -> str:
        """The key that the keys of its labels begin with."""

    @property
    def labels_ttl_s(self) -> int:
        """How long its labels are kept from now on, in seconds."""


class StreamLabels:
    """Offers texts and takes labels, of streams and of jobs. Raises redis.RedisError if the server is away."""

    def __init__(self, client: Client) -> None:
        """`client`: connected to the server of the streams and the jobs."""
        self._client = client

    def offer(self, whose: Sampled, entries: Sequence[Entry], by: str, limit: int) -> list[Entry]:
        """Gives a person texts to label.

        First those that the person was given before and has not labelled; then texts that nobody was given; then those
        that others were given and left. One in five is a text that somebody else has labelled, so that it can be told
        how far the two agree.

        Args:
            whose: the stream or the job.
            entries: of the sample, in their random order, in which they are given.
            by: the person.
            limit: the most texts.

        Raises:
            TooManyLabels: there are as many as may be.
        """
        given = self.given(whose)
        mine = {offer.id for offer in given.offers if offer.by == by}
        open_ones = [entry for entry in entries if entry.id not in given.labels]
        shared = self._shared(given, entries, by, mine)[: limit // _SHARED_OF]
        chosen = [entry for entry in open_ones if entry.id in mine][:limit]
        fresh = (entry for entry in open_ones if entry.id not in given.entries)
        chosen += self._take(whose, fresh, limit - len(chosen) - len(shared), len(given.offers))
        left = [entry for entry in open_ones if entry.id in given.entries and entry.id not in mine]
        chosen += left[: max(0, limit - len(chosen) - len(shared))]
        chosen += shared[: limit - len(chosen)]
        new = [entry for entry in chosen if entry.id not in mine]
        if len(given.offers) + len(new) > MOST_OFFERS:
            raise TooManyLabels(MOST_LABELS)
        self._note(whose, new, by)
        self._unless_gone(whose)
        return chosen

    @staticmethod
    def _shared(given: Given, entries: Iterable[Entry], by: str, mine: set[str]) -> list[Entry]:
        """Texts that one other person has labelled, in their random order."""
        by_two = sum(len(labels) > 1 for labels in given.labels.values())
        if by_two >= _MOST_SHARED:
            return []
        said = {id for id, labels in given.labels.items() if len(labels) == 1 and labels[0].by != by}
        return [entry for entry in entries if entry.id in said and entry.id not in mine][: _MOST_SHARED - by_two]

    def _take(self, whose: Sampled, entries: Iterable[Entry], count: int, offered: int) -> list[Entry]:
        """Takes up to `count` texts that nobody was given, also not in this moment by another process."""
        key = _key(whose, "offered")
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
            pipe.expire(key, whose.labels_ttl_s)
            taken += [entry for entry, new in zip(some, pipe.execute(), strict=False) if new]
        return taken

    def _note(self, whose: Sampled, entries: Sequence[Entry], by: str) -> None:
        if not entries:
            return
        key, now_us = _key(whose, "offers"), time.time_ns() // 1000
        pipe = self._client.pipeline(transaction=False)
        pipe.zadd(
            key, {f"{entry.id}{entry.segment}\0{by}": now_us + place for place, entry in enumerate(entries)}, nx=True
        )
        pipe.expire(key, whose.labels_ttl_s)
        pipe.execute()

    def give(self, whose: Sampled, labels: Sequence[tuple[str, int | None]], by: str) -> list[str]:
        """Stores a person's labels by the texts' ids; a second one of the same person takes the place of the first.

        Returns:
            The ids that were not given to anybody: a label of such a text is not stored.

        Raises:
            TooManyLabels: there are as many as may be.
        """
        if not labels:
            return []
        key = _key(whose, "labels")
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(_key(whose, "offered"), [id for id, _ in labels])
        pipe.hlen(key)
        found, count = pipe.execute()
        if count + len(labels) > MOST_LABELS:
            raise TooManyLabels(MOST_LABELS)
        now_ms = time.time_ns() // 1_000_000
        known = {id: label for (id, label), entry in zip(labels, found, strict=True) if entry is not None}
        if known:
            pipe = self._client.pipeline(transaction=False)
            pipe.hset(key, mapping={f"{id}{by}": msgspec.json.encode((label, now_ms)) for id, label in known.items()})
            for part in PARTS:  # a label counts as long as it is known who was given what
                pipe.expire(_key(whose, part), whose.labels_ttl_s)
            pipe.execute()
            self._unless_gone(whose)
        return list(dict.fromkeys(id for id, _ in labels if id not in known))

    def _unless_gone(self, whose: Sampled) -> None:
        """Removes what was just written of a stream or a job that is deleted meanwhile. It is gone before its labels
        are: so either this removes them, or the deletion does.
        """
        if not self._client.exists(whose.labels_key):
            self._client.unlink(*(_key(whose, part) for part in PARTS))

    def given(self, whose: Sampled) -> Given:
        """All offers and labels of a stream or a job."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrange(_key(whose, "offers"), 0, -1)
        pipe.hgetall(_key(whose, "offered"))
        pipe.hgetall(_key(whose, "labels"))
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


def _key(whose: Sampled, part: str) -> str:
    return f"{whose.labels_key}:{part}"


def _offer(member: bytes) -> Offer:
    name = member.decode()
    segment, _, by = name[_ID_CHARS:].rpartition("\0")
    return Offer(name[:_ID_CHARS], segment, by)
