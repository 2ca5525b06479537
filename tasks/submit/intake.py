"""Takes the texts of a job in, page by page: cleans them, looks them up, and puts each unknown text into a chunk once.

Memory grows with the job by only 40 bytes a text, which are needed to recognise repeated texts.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from sys import getsizeof

import orjson

from tasks.cost import cost
from tasks.errors import InvalidText, TooManyTexts
from tasks.jobs.incoming import IncomingJobs, Page, PagePart, Parts
from tasks.jobs.job import CHUNK_BYTES, PAGE_BYTES, PAGE_LINES, UPLOAD_TTL_S, Entry, Header, PageLine, Source
from tasks.store.cache import PredictionCache
from tasks.store.limits import Bill
from tasks.store.outcomes import Failed, Scored, digest
from tasks.streams.stream import Stream
from tasks.submit.asked import NOTHING, Asked, Part, read
from tasks.submit.seen import SeenTexts
from tasks.wire import Todo

LINES_AT_ONCE = 50
"""Short lines (about a millisecond of work) after which other greenlets of the web process get their turn."""
_CHARS_AT_ONCE = 10_000
"""Characters (about a millisecond of work) after which other greenlets of the web process get their turn."""
_LINE_CHARS = 100
"""As many characters count for each line besides its own."""
_PARTED_CHARS = 8
"""Characters of texts whose parts get answers of their own take so many times the work."""
PARTED_PAGE_BYTES = 64 * 1024
"""The size of a page, like PAGE_BYTES, if its lines have parts: these may be many more than its lines."""
_KNOWN = 2**31 - 1
"""Takes the place of a text's number if its outcome was known when it came in."""
_NO_ERROR = Failed("")
FULL = 1000
"""The work of a full chunk, in the unit of `tasks.jobs.job.Job.work`."""


@dataclass(frozen=True, slots=True)
class Into:
    """A stream that texts are for."""

    stream: Stream
    keeps: bool = False
    """Whether the job keeps lines and results all the same."""
    gold_sampled: bool = False
    """Whether the texts that come with labels were chosen at random."""
    read_as: Mapping[str, str] = field(default_factory=dict)
    """How the caller asked the lines to be read: a repeated Idempotency-Key needs the same."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The texts and options that a caller sends for a job."""

    entries: Iterable[tuple[int, Entry]]
    """The texts, each with the number of its line, from 1. If the iteration raises, the job is discarded."""
    header: Header | None = None
    """The columns that are known before the texts come."""
    found: Callable[[], tuple[Header | None, Source | None]] = lambda: (None, None)
    """Once all texts have come: their columns, and what was found out of the file."""
    name: str | None = None
    """What the caller calls the job. It is no part of what an Idempotency-Key stands for."""
    callback_url: str | None = None
    model: str | None = None
    """The name of the model that the caller asks for; None for the default one."""
    key: str | None = None
    """The caller's Idempotency-Key."""
    caller: str = ""
    """Who sends them: the job's bytes are counted among those of their other jobs, and its chunks take their turns."""
    owner: str | None = None
    """The name of the API key that will own the job, if the service has keys."""
    asked: Asked = NOTHING
    """What is asked of each text besides its prediction."""
    into: Into | None = None
    """The stream that the texts are for; then the entries are `tasks.streams.lines.StreamEntry`."""
    bill: Bill | None = None
    """Counts the texts towards the daily quota, if there is one; a repeated Idempotency-Key costs nothing."""

    @property
    def own_key(self) -> str | None:
        """The Idempotency-Key together with the owner, since two owners may use the same key."""
        return self.key if self.key is None or self.owner is None else f"{self.owner}\0{self.key}"


class Fingerprint:
    """A hash of a submission, equal for equal submissions regardless of their format."""

    def __init__(self, submission: Submission) -> None:
        header = submission.header
        options: list[object] = [submission.callback_url, header and [header.names, header.text]]
        if submission.model is not None:
            options.append(submission.model)
        if submission.asked != NOTHING:
            options.append(asdict(submission.asked))
        if submission.into is not None:
            into = submission.into
            read_as = [sorted(into.read_as.items())] if into.read_as else []
            options.append([into.stream.uid, into.gold_sampled, *read_as])
        self._hash = blake2b(orjson.dumps(options), digest_size=16)

    def add(self, entry: Entry) -> None:
        """Adds the submission's next entry."""
        parts = [entry.text, entry.id, entry.columns]
        self._hash.update(orjson.dumps(parts if entry.error is None else [*parts, entry.error]))

    def hex(self) -> str:
        """The hash of all entries so far, in hex."""
        return self._hash.hexdigest()


class Intake:
    """Takes the texts of one job in. Chunks that are ready are sent while the rest is still coming in."""

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
        asked: Asked = NOTHING,
        cost: Callable[[str], int] = cost,
        send: Callable[[Sequence[int]], None],
        alive: Callable[[], None],
    ) -> None:
        """Takes texts into a job that has been begun.

        Args:
            jobs: stores the job.
            cache: known predictions are looked up there.
            job_id: the job.
            identity: the model whose cached predictions are used; None to use none.
            chunk_size: the most texts of a chunk, the same as in `IncomingJobs.begin`; of texts that cost more, a chunk
                has fewer. The index of its first text is a multiple of this all the same.
            max_texts: the most texts of the job.
            cleaned: cleans a text; raises InvalidText.
            asked: what is asked of each text.
            cost: what a text costs to score (`tasks.cost`).
            send: sends the chunks with these numbers, or lets them wait for their turn.
            alive: called now and then while texts come in slowly.
        """
        self._jobs = jobs
        self._cache = cache
        self._job_id = job_id
        self._identity = identity
        self._chunk_size = chunk_size
        self._max_texts = max_texts
        self._cleaned = cleaned
        self._asked = asked
        self._plain = asked == NOTHING
        self._page_bytes = PARTED_PAGE_BYTES if asked.sentences or asked.explain else PAGE_BYTES
        self._weight = 1 if self._plain else _PARTED_CHARS
        self._cost = cost
        self._send = send
        self._alive = alive
        self._seen = SeenTexts()
        self._chunks: list[Todo] = []
        self._costs: list[int] = []
        """Of each of `_chunks`: see `tasks.cost`."""
        self._chunk_bytes = 0
        self._stored_chunks = 0
        self._stored_lines = 0
        self.texts = 0
        """The number of texts that have come in."""
        self.hits = 0
        """The number of known texts among them; repeated texts count once."""
        self.misses = 0
        """The number of unknown texts among them; repeated texts count once."""

    def receive(self, submission: Submission) -> str:
        """Takes all entries in and returns their fingerprint. Sealing the job is left to the caller.

        Raises:
            TooManyTexts: there are more than `max_texts`.
            JobCancelled, UploadTooSlow: see `IncomingJobs.append`.
        """
        fingerprint = Fingerprint(submission)
        number = 0
        for number, (entries, last) in enumerate(self._pages(submission, fingerprint)):
            self._store(number, entries, last=last)
        if self._chunks:
            self._store(number + 1, [], last=True)
        return fingerprint.hex()

    def _pages(self, submission: Submission, fingerprint: Fingerprint) -> Iterator[tuple[list[Entry], bool]]:
        """The pages, and whether each is known to be the last one."""
        page: list[Entry] = []
        page_bytes = chars = 0
        touched_at = time.monotonic()
        for line, entry in submission.entries:
            self.texts += 1
            if self.texts > self._max_texts:
                raise TooManyTexts(self._max_texts, line)
            fingerprint.add(entry)
            page.append(entry)
            page_bytes += entry.memory_bytes
            chars += _LINE_CHARS + len(entry.text) * self._weight
            if chars >= _CHARS_AT_ONCE:
                time.sleep(0)
                chars = 0
            if time.monotonic() - touched_at > UPLOAD_TTL_S / 8:
                touched_at = time.monotonic()
                self._alive()
            if len(page) == PAGE_LINES or page_bytes >= self._page_bytes:
                yield page, False
                page, page_bytes = [], 0
        if page:
            yield page, True

    def _store(self, number: int, entries: Sequence[Entry], *, last: bool) -> None:
        keys, texts, errors, parts = self._clean(entries)
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
                text = self._add(texts[key])
                self._seen.put(key, text)
                lines.append((entry, text))
        parted = {place: Parts(*[self._placed(some, texts, known) for some in found]) for place, found in parts.items()}
        ready = len(self._chunks) - int(not last and not self._is_full())
        uneven = self._stored_lines != number * PAGE_LINES or (len(lines) < PAGE_LINES and not last)
        page = Page(
            number,
            lines,
            self._identity,
            self._stored_chunks,
            self._chunks[:ready],
            late,
            cached,
            duplicates,
            uneven,
            sum(round(FULL * spent / self._chunk_size) or 1 for spent in self._costs[:ready]),
            parted,
        )
        to_send = self._jobs.append(self._job_id, page)
        self._stored_lines += len(lines)
        del self._chunks[:ready]
        del self._costs[:ready]
        self._stored_chunks += ready
        if to_send:
            self._send(to_send)

    def _clean(
        self, entries: Sequence[Entry]
    ) -> tuple[list[str | None], dict[str, str], list[Failed], dict[int, tuple[Sequence[Part], Sequence[Part]]]]:
        """Each entry's digest, the cleaned texts by digest, the error of each entry that has no digest, and, by place,
        the parts of entries that have any: sentences and words.
        """
        keys: list[str | None] = []
        texts: dict[str, str] = {}
        errors: list[Failed] = []
        parts: dict[int, tuple[Sequence[Part], Sequence[Part]]] = {}
        chars = 0
        for position, entry in enumerate(entries):
            chars += _LINE_CHARS + len(entry.text) * self._weight
            if chars >= _CHARS_AT_ONCE:
                time.sleep(0)
                chars = 0
            if entry.error is not None:
                keys.append(None)
                errors.append(Failed(entry.error))
                continue
            try:
                if self._plain:
                    cleaned = self._cleaned(entry.text)
                else:
                    reading = read(entry.text, self._asked, self._cleaned)
                    cleaned = reading.scored
                    texts |= {digest(part.scored): part.scored for part in reading.parts if part.scored is not None}
                    parts[position] = reading.sentences or (), reading.words or ()
            except InvalidText as error:
                keys.append(None)
                errors.append(Failed(error.code))
            else:
                keys.append(key := digest(cleaned))
                texts[key] = cleaned
                errors.append(_NO_ERROR)
        return keys, texts, errors, parts

    def _placed(
        self, parts: Sequence[Part], texts: Mapping[str, str], known: Mapping[str, Scored]
    ) -> tuple[PagePart, ...]:
        """Puts what is not known of parts into chunks, where they answer no line."""
        placed: list[PagePart] = []
        time.sleep(0)  # a text has up to 500 parts
        for part in parts:
            where: int | Scored | None = None
            if part.scored is not None:
                key = digest(part.scored)
                earlier = self._seen.find(key)
                if earlier is not None and earlier != _KNOWN:
                    where = earlier
                elif (scored := known.get(key)) is not None:
                    self._seen.put(key, _KNOWN)
                    where = scored
                else:
                    where = self._add(texts[key], lines=0)
                    self._seen.put(key, where)
            placed.append((part.start, part.end, where))
        return tuple(placed)

    def _look_up(self, keys: Sequence[str]) -> dict[str, Scored]:
        """The cached predictions, by digest, of those texts that are not in a chunk already."""
        if self._identity is None:
            return {}
        wanted = [key for key in keys if self._seen.find(key) in (None, _KNOWN)]
        found = zip(wanted, self._cache.get_many(self._identity, wanted), strict=True)
        known = {key: scored for key, scored in found if scored is not None}
        self.hits += len(known)
        self.misses += len(wanted) - len(known)
        return known

    def _add(self, text: str, *, lines: int = 1) -> int:
        """Puts a text, which answers so many lines, into the latest chunk, or into a new one; returns its number."""
        if self._is_full():
            self._chunks.append(Todo([], []))
            self._costs.append(0)
            self._chunk_bytes = 0
        chunk = self._chunks[-1]
        chunk.texts.append(text)
        chunk.weights.append(lines)
        self._costs[-1] += self._cost(text)
        self._chunk_bytes += getsizeof(text)
        return (self._stored_chunks + len(self._chunks) - 1) * self._chunk_size + len(chunk.texts) - 1

    def _is_full(self) -> bool:
        """Whether the next text needs a new chunk."""
        return not self._costs or self._costs[-1] >= self._chunk_size or self._chunk_bytes >= CHUNK_BYTES

    def _repeat(self, number: int, late: defaultdict[int, Counter[int]]) -> None:
        chunk, place = divmod(number, self._chunk_size)
        if chunk < self._stored_chunks:
            late[chunk][place] += 1
        else:
            self._chunks[chunk - self._stored_chunks].weights[place] += 1
