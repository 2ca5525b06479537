"""Gathers texts that were answered into what is added to their stream in one step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tasks.store.outcomes import Outcome, Scored
from tasks.streams.counted import ENTRY, Counted, WithIds, as_raw, id_columns, place_of
from tasks.streams.lines import LINE, NOT_READ, keyed
from tasks.streams.unseen import FAILED, UNREAD, Row, packed
from tasks.wire import StreamTodo

_SUMS, _CHANGE, _OTHERS = 0, 1, 2
_MINUTE_MS, _DAY_MINUTES = 60_000, 1440


class Gathering:
    """Texts of one stream, one after the other."""

    def __init__(self, segments: Sequence[str], *, most_segments: int, sample_size: int, gold_sampled: bool) -> None:
        """`gold_sampled`: whether the texts with labels of their own were chosen at random."""
        self._counted = Counted(list(segments), most_segments, sample_size, WithIds())
        self._gold_sampled = gold_sampled
        self._buckets: defaultdict[tuple[int, int], tuple[list[float], list[float], list[float]]] = defaultdict(
            lambda: ([0.0] * 8, [0.0] * 8, [0.0] * 2)
        )
        self._rows: list[bytes] = []
        self._authors: defaultdict[tuple[int, int], set[bytes]] = defaultdict(set)

    def add(
        self,
        segment: int,
        time_ms: int,
        outcome: Outcome | None,
        masked: Outcome | None,
        *,
        key: int,
        has_id: bool,
        author: int,
        words: int,
        gold: int = -1,
        sent: str | None = None,
    ) -> None:
        """Adds a text.

        Args:
            segment: its number among the segments.
            time_ms: when it was written, in Unix milliseconds.
            outcome: None if it could not be read.
            masked: the outcome with the segment's name masked; None if the name is not in it.
            key: the hash of its id, or of its place where it has none.
            has_id: whether it came with an id.
            author: the hash of its author; 0 without one.
            words: the hash of the cleaned text.
            gold: the label that it came with; -1 if it came with none.
            sent: the text, if the sample keeps texts.
        """
        minute = time_ms // _MINUTE_MS
        label, neg, pos = _counted_as(outcome)
        masked_label, masked_neg, masked_pos = -1, 0.0, 0.0
        if masked is not None and label < FAILED:
            found = _counted_as(masked)
            if found[0] < FAILED and found != (label, neg, pos):
                masked_label, masked_neg, masked_pos = found
        row = packed(
            Row(time_ms / 1000, pos - neg, label, words.to_bytes(8, "little"), self._counted.segments[segment])
        )
        if has_id:
            ids = self._counted.ids
            text, bits = id_columns(key)
            ids.id.append(text)
            ids.bits.append(bits)
            ids.segment.append(segment)
            ids.minute.append(minute)
            ids.label.append(label)
            ids.neg.append(neg)
            ids.pos.append(pos)
            ids.masked_label.append(masked_label)
            ids.masked_neg.append(masked_neg)
            ids.masked_pos.append(masked_pos)
            ids.rows.append(as_raw(row))
        else:
            self._rows.append(row)
            bucket = self._buckets[segment, minute]
            if label >= FAILED:
                bucket[_OTHERS][label - FAILED] += 1
            else:
                _add(bucket[_SUMS], label, neg, pos, 1)
                if masked_label >= 0:
                    _add(bucket[_CHANGE], masked_label, masked_neg, masked_pos, 1)
                    _add(bucket[_CHANGE], label, neg, pos, -1)
        if label >= FAILED:
            return
        if author:
            self._authors[segment, minute // _DAY_MINUTES].add(author.to_bytes(8, "little"))
        entry = ENTRY.pack(
            key.to_bytes(8, "big"),
            time_ms,
            neg,
            pos,
            float(masked_label >= 0),
            masked_neg,
            masked_pos,
            gold,
            words,
            author,
        )
        packed_entry = as_raw(entry)
        number = len(self._counted.ids.id) if has_id else 0
        self._counted.sample.append(("sample", segment, place_of(key), packed_entry, number, sent))
        if self._gold_sampled and gold >= 0:
            self._counted.sample.append(("gold", segment, place_of(key), packed_entry, number, sent))

    def counted(self) -> Counted:
        """All that was added."""
        found = self._counted
        found.buckets = [(*place, *sums) for place, sums in self._buckets.items()]
        found.rows = as_raw(b"".join(self._rows))
        found.authors = [(*place, [as_raw(author) for author in authors]) for place, authors in self._authors.items()]
        return found


def _add(sums: list[float], label: int, neg: float, pos: float, times: int) -> None:
    sums[label] += times
    sums[3] += times * neg
    sums[4] += times * pos
    sums[5] += times * neg * neg
    sums[6] += times * pos * pos
    sums[7] += times * neg * pos


def _counted_as(outcome: Outcome | None) -> tuple[int, float, float]:
    """The label or what stands in its place, p_neg and p_pos."""
    if not isinstance(outcome, Scored):
        return FAILED, 0.0, 0.0
    if outcome.remarks.refused:
        return UNREAD, 0.0, 0.0
    return outcome.decided, outcome.scores[0], outcome.scores[-1]


def counted_of(todo: StreamTodo, outcomes: Sequence[Outcome], *, most_segments: int, sample_size: int) -> Counted:
    """What a chunk adds to its stream. `outcomes`: of the chunk's texts."""
    gathering = Gathering(
        todo.segments, most_segments=most_segments, sample_size=sample_size, gold_sampled=todo.gold_sampled
    )
    words = [keyed(todo.salt, b"text", text) for text in todo.texts]
    for place, line in enumerate(LINE.iter_unpack(todo.lines)):
        text, masked, segment, has_id, gold, time_ms, key, author = line
        is_read = text != NOT_READ
        gathering.add(
            segment,
            time_ms,
            outcomes[text] if is_read else None,
            outcomes[masked] if is_read and masked != text else None,
            key=key,
            has_id=bool(has_id),
            author=author,
            words=words[text] if is_read else 0,
            gold=gold,
            sent=todo.sent[place] if todo.sent is not None else None,
        )
    return gathering.counted()
