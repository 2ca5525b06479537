"""Texts on their way into a job: cleaned, looked up, each unknown one once into a chunk, page by page as they come in.

Memory does not grow with the job but for 40 bytes a text, by which a repeated one is known.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from tasks.errors import InvalidText, TooManyTexts
from tasks.jobs.incoming import IncomingJobs, Page
from tasks.jobs.job import PAGE_LINES, UPLOAD_TTL_S, Entry, Header, PageLine
from tasks.store.cache import PredictionCache
from tasks.store.limits import Bill
from tasks.store.outcomes import Failed, Scored, digest
from tasks.submit.seen import SeenTexts
from tasks.wire import Todo

_LINES_AT_ONCE = 50
"""Lines after which other callers of a cooperative web process come in between: about a millisecond."""
_KNOWN = 2**31 - 1
"""Stands for the number of a text whose outcome was known when it came."""
_NO_ERROR = Failed("")


@dataclass(frozen=True, slots=True)
class Submission:
    """What is to become a job."""

    entries: Iterable[tuple[int, Entry]]
    """Each with the line that it was sent on, from 1. May raise whatever its source raises: then nothing of the job is
    left.
    """
    header: Header | None = None
    callback_url: str | None = None
    key: str | None = None
    """The caller's Idempotency-Key."""
    owner: str | None = None
    """Whose the job will be: the name of an API key, where there are keys."""
    bill: Bill | None = None
    """Counts its texts, where a limit does; an Idempotency-Key that made a job before costs nothing."""

    @property
    def own_key(self) -> str | None:
        """The Idempotency-Key among those of its owner: another's may be the same."""
        return self.key if self.key is None or self.owner is None else f"{self.owner}\0{self.key}"


class Fingerprint:
    """Tells whether two submissions are the same, however they were packed."""

    def __init__(self, submission: Submission) -> None:
        header = submission.header
        self._hash = blake2b(
            orjson.dumps([submission.callback_url, header and [header.names, header.text]]), digest_size=16
        )

    def add(self, entry: Entry) -> None:
        """The next of its entries."""
        self._hash.update(orjson.dumps([entry.text, entry.id, entry.columns]))

    def hex(self) -> str:
        """Of all entries added."""
        return self._hash.hexdigest()


class Intake:
    """One job's texts. `send` is called with the chunks that may leave, while the rest still comes in."""

    def __init__(
        self,
        jobs: IncomingJobs,
        cache: PredictionCache,
        *,
        job_id: str,
        identity: str | None,
        chunk_size: int,
        max_texts: int,
        cleaned: Callable[[str], str],
        send: Callable[[Sequence[int]], None],
        alive: Callable[[], None],
    ) -> None:
        """An intake into a job that was begun.

        Args:
            identity: the model whose known predictions are taken; None takes none.
            chunk_size: texts of a chunk, as the job was begun with.
            max_texts: a job with more is refused.
            cleaned: the text as it is scored; raises InvalidText.
            send: sends chunks.
            alive: called now and then while texts come in slowly.
        """
        self._jobs = jobs
        self._cache = cache
        self._job_id = job_id
        self._identity = identity
        self._chunk_size = chunk_size
        self._max_texts = max_texts
        self._cleaned = cleaned
        self._send = send
        self._alive = alive
        self._seen = SeenTexts()
        self._unknown = 0
        self._chunks: list[Todo] = []
        self._stored_chunks = 0
        self.texts = 0
        """So many have come in."""
        self.hits = 0
        """So many of them, repeated ones counted once, were known."""
        self.misses = 0

    def receive(self, submission: Submission) -> str:
        """Takes all entries in; returns their fingerprint. The job is not sealed yet.

        Raises:
            TooManyTexts: more than `max_texts`.
            JobCancelled, UploadTooSlow: see `IncomingJobs.append`.
        """
        fingerprint = Fingerprint(submission)
        number = 0
        for number, entries in enumerate(self._pages(submission, fingerprint)):
            self._store(number, entries, last=len(entries) < PAGE_LINES)
        if self._chunks:
            self._store(number + 1, [], last=True)
        return fingerprint.hex()

    def _pages(self, submission: Submission, fingerprint: Fingerprint) -> Iterator[list[Entry]]:
        page: list[Entry] = []
        touched_at = time.monotonic()
        for line, entry in submission.entries:
            self.texts += 1
            if self.texts > self._max_texts:
                raise TooManyTexts(self._max_texts, line)
            fingerprint.add(entry)
            page.append(entry)
            if self.texts % _LINES_AT_ONCE == 0:
                time.sleep(0)
            if time.monotonic() - touched_at > UPLOAD_TTL_S / 8:
                touched_at = time.monotonic()
                self._alive()
            if len(page) == PAGE_LINES:
                yield page
                page = []
        if page:
            yield page

    def _store(self, number: int, entries: Sequence[Entry], *, last: bool) -> None:
        keys, texts, errors = self._clean(entries)
        known = self._look_up(list(texts))
        lines: list[PageLine] = []
        late: defaultdict[int, Counter[int]] = defaultdict(Counter)
        cached = duplicates = 0
        for entry, key, error in zip(entries, keys, errors, strict=True):
            if key is None:
                lines.append((entry, error))
                continue
            earlier = self._seen.find(key)
            duplicates += earlier is not None
            if earlier is not None and earlier != _KNOWN:
                self._repeat(earlier, late)
                lines.append((entry, earlier))
            elif (scored := known.get(key)) is not None:
                cached += 1
                self._seen.put(key, _KNOWN)
                lines.append((entry, scored))
            else:
                self._seen.put(key, self._unknown)
                lines.append((entry, self._unknown))
                self._add(texts[key])
        ready = len(self._chunks) if last else self._unknown // self._chunk_size - self._stored_chunks
        page = Page(number, lines, self._identity, self._stored_chunks, self._chunks[:ready], late, cached, duplicates)
        to_send = self._jobs.append(self._job_id, page)
        del self._chunks[:ready]
        self._stored_chunks += ready
        if to_send:
            self._send(to_send)

    def _clean(self, entries: Sequence[Entry]) -> tuple[list[str | None], dict[str, str], list[Failed]]:
        """Each entry's digest, the cleaned texts by digest, and each entry's error where it has no digest."""
        keys: list[str | None] = []
        texts: dict[str, str] = {}
        errors: list[Failed] = []
        for position, entry in enumerate(entries):
            if position % _LINES_AT_ONCE == 0:
                time.sleep(0)
            try:
                cleaned = self._cleaned(entry.text)
            except InvalidText as error:
                keys.append(None)
                errors.append(Failed(error.code))
            else:
                keys.append(key := digest(cleaned))
                texts[key] = cleaned
                errors.append(_NO_ERROR)
        return keys, texts, errors

    def _look_up(self, keys: Sequence[str]) -> dict[str, Scored]:
        """The predictions that are known of texts that are not in a chunk already."""
        if self._identity is None:
            return {}
        wanted = [key for key in keys if self._seen.find(key) in (None, _KNOWN)]
        found = zip(wanted, self._cache.get_many(self._identity, wanted), strict=True)
        known = {key: scored for key, scored in found if scored is not None}
        self.hits += len(known)
        self.misses += len(wanted) - len(known)
        return known

    def _add(self, text: str) -> None:
        if self._unknown % self._chunk_size == 0:
            self._chunks.append(Todo([], []))
        self._chunks[-1].texts.append(text)
        self._chunks[-1].weights.append(1)
        self._unknown += 1

    def _repeat(self, number: int, late: defaultdict[int, Counter[int]]) -> None:
        chunk, place = divmod(number, self._chunk_size)
        if chunk < self._stored_chunks:
            late[chunk][place] += 1
        else:
            self._chunks[chunk - self._stored_chunks].weights[place] += 1
