"""The prediction cache, and the in-flight marks and reply keys by which many callers share one scoring of a text.

All of it may be evicted or lost: then a text is scored once more, or a caller looks into the cache again, and nothing
worse happens.

    sentiq:p:<model identity>:<digest>   a prediction, for CACHE_TTL
    sentiq:f:<model tag>:<digest>        the in-flight mark of a text: the set of reply keys that wait for it
    sentiq:r:<web process>               the replies to one web process, a list
    sentiq:a:<chunk id>                  how often a chunk was begun, and how often each text in it was scored alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tasks.store.client import Client, Pipeline
from tasks.store.memory import JOBS_SHARE, Memory
from tasks.store.outcomes import Outcome, Scored
from tasks.store.scripts import load_script
from tasks.wire import FormatError, Reply, read_cached, read_reply, write_remarks, write_row

MARK_TTL_S = 15
"""Seconds that an in-flight mark keeps others from sending the text: a little more than redelivery takes."""
REPLY_TTL_S = 60
"""Seconds that replies stay if their web process no longer reads them."""
ATTEMPTS_TTL_S = 3600
"""Seconds after which a chunk's earlier attempts are forgotten."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of claiming texts. Digests that are in neither field are under way: another process sent them."""

    known: dict[str, tuple[Scored, float]]
    """Predictions that were in the cache, by digest, with the seconds that each has left."""
    to_send: list[str]
    """Digests of the texts that the caller has to send."""


class PredictionCache:
    """Predictions by model identity and digest, with marks and replies. Raises redis.RedisError when Redis is away."""

    def __init__(self, client: Client, *, ttl_s: int, fits: Callable[[Scored], bool] = lambda scored: True) -> None:
        """`fits`: whether a prediction is as this process's settings would have it; one that is not counts as missing,
        and the text is scored again.
        """
        self._client = client
        self._ttl_s = ttl_s
        self.fits = fits
        self._memory = Memory(client)
        self._claim = load_script(client, "tasks.store", "cache_claim")
        self._give_up = load_script(client, "tasks.store", "cache_give_up")
        self._settle = load_script(client, "tasks.store", "cache_settle")

    @staticmethod
    def _key(identity: str, digest: str) -> str:
        return f"sentiq:p:{identity}:{digest}"

    @staticmethod
    def _mark(tag: str, digest: str) -> str:
        return f"sentiq:f:{tag}:{digest}"

    def get(self, identity: str, digest: str) -> tuple[Scored, float] | None:
        """A prediction and the seconds that it has left; None if there is none."""
        key = self._key(identity, digest)
        pipe = self._client.pipeline(transaction=False)
        pipe.get(key)
        pipe.pttl(key)
        value, left_ms = pipe.execute()
        scored = self._decoded(value)
        return None if scored is None else (scored, max(0, left_ms) / 1000)

    @property
    def ttl_s(self) -> int:
        """Seconds that a prediction stays in the cache."""
        return self._ttl_s

    def get_many(self, identity: str, digests: Sequence[str]) -> list[Scored | None]:
        """Predictions in the order of the digests, None where there is none."""
        found: list[Scored | None] = []
        for start in range(0, len(digests), 1000):
            keys = [self._key(identity, digest) for digest in digests[start : start + 1000]]
            found += [self._decoded(value) for value in self._client.mget(keys)]
        return found

    def claim(self, identity: str | None, tag: str, digests: Sequence[str], reply_key: str) -> Claim:
        """Claims texts: each is known, or becomes the caller's to send, or is under way already.

        The reply to every text that is not known will also go to `reply_key`.

        Args:
            identity: the model identity to look predictions up under; None while no model is known.
            tag: the model tag.
            digests: the texts.
            reply_key: the key that the web process reads its replies from.
        """
        marks = [self._mark(tag, digest) for digest in digests]
        predictions = [self._key(identity, digest) for digest in digests] if identity is not None else []
        answers = self._claim(keys=predictions + marks, args=[reply_key, MARK_TTL_S, len(predictions)])
        known: dict[str, tuple[Scored, float]] = {}
        to_send, unreadable = [], []
        for digest, answer in zip(digests, answers, strict=True):
            if answer == 1:
                to_send.append(digest)
            elif answer != 0:
                if (prediction := self._decoded(answer[0])) is None:
                    unreadable.append(digest)
                else:
                    known[digest] = (prediction, max(0, answer[1]) / 1000)
        if unreadable:
            to_send += self.claim(None, tag, unreadable, reply_key).to_send
        return Claim(known, to_send)

    def release(self, tag: str, digests: Iterable[str]) -> None:
        """Deletes the in-flight marks of texts that could not be sent."""
        if keys := [self._mark(tag, digest) for digest in digests]:
            self._client.delete(*keys)

    def give_up(self, tag: str, digests: Sequence[str], reply_key: str) -> list[str]:
        """Withdraws the caller from texts that it was to send; returns those that other web processes wait for."""
        answers = self._give_up(keys=[self._mark(tag, digest) for digest in digests], args=[reply_key])
        return [digest for digest, others in zip(digests, answers, strict=True) if others]

    def settle(
        self,
        identity: str,
        tag: str,
        outcomes: Mapping[str, Outcome],
        ended: str | None = None,
        *,
        if_room: bool = False,
    ) -> None:
        """Stores predictions and replies to all web processes that wait for them, in one round trip.

        Failures are part of the replies, but never cached.

        Args:
            identity: the model that scored.
            tag: the model tag that was asked for.
            outcomes: outcomes by digest.
            ended: the chunk that is done with this; the count of its attempts is deleted.
            if_room: whether the predictions are stored only while the server's memory is far from full.
        """
        if not outcomes:
            return
        may_store = not if_room or self._memory.has_room(JOBS_SHARE)
        keys = [self._key(identity, digest) for digest in outcomes] + [self._mark(tag, digest) for digest in outcomes]
        if ended is not None:
            keys.append(self._attempts(ended))
        args: list[str | int | bytes] = [self._ttl_s, REPLY_TTL_S, msgspec.json.encode(identity)]
        for digest, outcome in outcomes.items():
            kept = int(may_store and isinstance(outcome, Scored))
            args += [digest, write_row(outcome), kept, write_remarks(outcome)]
        self._settle(keys=keys, args=args)

    def await_reply(self, reply_key: str, timeout_s: float) -> Reply | None:
        """The next reply, or None after `timeout_s`. Needs a client made with `blocking=True`.

        Raises:
            FormatError: the reply cannot be read; it is gone from Redis.
        """
        popped = self._client.blpop([reply_key], timeout=timeout_s)
        return None if popped is None else read_reply(popped[1])

    def begin(self, chunk_id: str, identity: str, digests: Sequence[str]) -> tuple[int, list[Scored | None]]:
        """Counts an attempt at a chunk and looks its texts up, in one round trip.

        Returns:
            The number of this attempt, from 1, and the predictions in the order of the digests, None where there is
            none.
        """
        pipe = self._count(chunk_id, "attempts")
        if digests:
            pipe.mget([self._key(identity, digest) for digest in digests])
        attempt, _, *found = pipe.execute()
        return int(attempt), [self._decoded(value) for value in found[0]] if found else []

    def suspect(self, chunk_id: str, digest: str) -> int:
        """Notes that a text of the chunk is about to be scored alone; returns the number of this attempt, from 1."""
        return int(self._count(chunk_id, digest).execute()[0])

    def _count(self, chunk_id: str, field: str) -> Pipeline:
        key = self._attempts(chunk_id)
        pipe = self._client.pipeline(transaction=True)  # a count without its TTL would stay for ever
        pipe.hincrby(key, field, 1)
        pipe.expire(key, ATTEMPTS_TTL_S)
        return pipe

    @staticmethod
    def _attempts(chunk_id: str) -> str:
        return f"sentiq:a:{chunk_id}"

    def _decoded(self, value: bytes | None) -> Scored | None:
        if value is None:
            return None
        try:
            outcome = read_cached(value)
        except FormatError:
            return None  # of another version: this process has the text scored again
        return outcome if isinstance(outcome, Scored) and self.fits(outcome) else None
