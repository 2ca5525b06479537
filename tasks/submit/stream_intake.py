"""Takes texts in that are for a stream. Each line goes into a chunk, with all that the stream counts of it.

Nothing is looked up here: a text is scored or known where its chunk is. Texts that repeat in a chunk are scored once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from sys import getsizeof

from model.masking import mask_of
from tasks.errors import InvalidText
from tasks.jobs.incoming import StreamPage
from tasks.jobs.job import CHUNK_BYTES, Entry, PageLine
from tasks.store.outcomes import Failed, digest
from tasks.streams.lines import LINE, NOT_READ, StreamEntry, keyed
from tasks.streams.stream import Stream
from tasks.submit.intake import FULL, LINES_AT_ONCE, Intake, Into, Submission
from tasks.wire import StreamTodo

MOST_CHUNK_LINES = 512
"""The most lines of a chunk, however often they repeat texts and however fast the model is. One script counts them all,
and the server serves nobody else meanwhile: some 40 ms for lines that are each in a minute and a day of their own. For
8192 such lines it was more than a second."""


class _Filling:
    """A chunk that is not full yet."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.weights: list[int] = []
        self.segments: dict[str, int] = {}
        self.lines = bytearray()
        self.sent: list[str] = []
        self.cost = 0
        self.memory_bytes = 0


class StreamIntake(Intake):
    """Takes the texts of one job into a stream. Its chunks are sent once all of them came in."""

    _into: Into

    def receive(self, submission: Submission) -> str:
        """See `Intake.receive`."""
        assert submission.into is not None
        self._into = submission.into
        self._full: list[_Filling] = []
        self._filling = _Filling()
        fingerprint = super().receive(submission)
        if self._filling.lines:
            self._end_chunk()
            self._append(self._pages_stored, 0, [], 0)
        return fingerprint

    _pages_stored = 0

    def _store(self, number: int, entries: Sequence[Entry], *, last: bool) -> None:
        self._pages_stored = number + 1
        kept: list[PageLine] = []
        duplicates = 0
        for place, entry in enumerate(entries):
            if place % LINES_AT_ONCE == 0:
                time.sleep(0)
            assert isinstance(entry, StreamEntry)
            where = self._line(entry, self._stored_lines + place)
            if isinstance(where, Failed):
                where_kept: int | Failed = where
            else:
                where_kept, repeats = where
                duplicates += repeats
            if self._into.keeps:
                kept.append((entry, where_kept))
        self._stored_lines += len(entries)
        self._append(number, len(entries), kept, duplicates)

    def _append(self, number: int, lines: int, kept: Sequence[PageLine], duplicates: int) -> None:
        chunks = [self._packed(filling) for filling in self._full]
        work = sum(round(FULL * filling.cost / self._chunk_size) or 1 for filling in self._full)
        page = StreamPage(number, lines, self._stored_chunks, chunks, duplicates, work, kept)
        self._jobs.append_for_stream(self._job_id, page)
        self._stored_chunks += len(chunks)
        self._full.clear()

    def _line(self, entry: StreamEntry, position: int) -> Failed | tuple[int, bool]:
        """Puts a line into the latest chunk. Returns the number of its text, and whether the text came before; or the
        error of the line.
        """
        filling, facts, stream = self._filling, entry.facts, self._into.stream
        error = entry.error or facts.error
        text = masked = NOT_READ
        repeats = False
        if error is None:
            try:
                cleaned = self._cleaned(entry.text)
            except InvalidText as invalid:
                error = invalid.code
            else:
                key = digest(cleaned)
                repeats = self._seen.find(key) is not None
                if not repeats:
                    self._seen.put(key, 0)
                text = masked = self._text(cleaned, lines=1)
                hidden = mask_of(names) if (names := names_of(stream, facts.segment)) else None
                if hidden is not None and (without := hidden(cleaned)) != cleaned:
                    masked = self._text(without, lines=0)
        segment = filling.segments.setdefault(facts.segment, len(filling.segments))
        has_id = facts.id is not None
        place = f"{self._job_id}.{position}"
        filling.lines += LINE.pack(
            text,
            masked,
            segment,
            has_id,
            -1 if facts.gold is None else facts.gold,
            facts.time_ms,
            keyed(stream.salt, b"line", place) if facts.id is None else keyed(stream.salt, b"id", facts.id),
            0 if facts.author is None else keyed(stream.salt, b"author", facts.author),
        )
        if stream.settings.keep_sample:
            filling.sent.append(entry.text)
            filling.memory_bytes += getsizeof(entry.text)
        number = (self._stored_chunks + len(self._full)) * self._chunk_size + text
        if (
            filling.cost >= self._chunk_size
            or filling.memory_bytes >= CHUNK_BYTES
            or len(filling.lines) >= MOST_CHUNK_LINES * LINE.size
        ):
            self._end_chunk()
        return Failed(error) if error is not None else (number, repeats)

    def _text(self, cleaned: str, *, lines: int) -> int:
        """The number of a text in the latest chunk, which it may be added to; it answers so many lines more."""
        filling = self._filling
        place = filling.texts.get(cleaned)
        if place is None:
            place = filling.texts[cleaned] = len(filling.texts)
            filling.weights.append(0)
            filling.cost += self._cost(cleaned)
            filling.memory_bytes += getsizeof(cleaned)
        filling.weights[place] += lines
        return place

    def _end_chunk(self) -> None:
        self._full.append(self._filling)
        self._filling = _Filling()

    def _packed(self, filling: _Filling) -> StreamTodo:
        stream = self._into.stream
        return StreamTodo(
            list(filling.texts),
            list(filling.segments),
            bytes(filling.lines),
            stream.salt,
            filling.sent if stream.settings.keep_sample else None,
            self._into.gold_sampled,
            filling.weights,
            self._into.keeps,
            2,
        )


def names_of(stream: Stream, segment: str) -> tuple[str, ...]:
    """The names to be masked in texts of a segment."""
    masks = stream.settings.mask_segments
    if masks is False or not segment:
        return ()
    return (segment, *masks.get(segment, ())) if isinstance(masks, dict) else (segment,)
