"""A stream as data: its settings, its facts, and what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tasks.streams.keys import stream_key

if TYPE_CHECKING:
    from model.shares.sums import Floats  # numpy is not loaded before the first question about a stream

NO_SEGMENT = ""
"""The segment of texts that were sent without one; callers see null."""
OTHER = "(other)"
"""The segment in which texts of segments beyond MAX_SEGMENTS are counted."""
MINUTE_S, QUARTER_S = 60, 900


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a stream says of it. Stored as JSON; new fields need a default."""

    ttl: int
    """Seconds that what was counted is kept; at most STREAM_TTL."""
    keep_sample: bool = False
    """Whether the sample keeps texts."""
    mask_segments: dict[str, list[str]] | bool | None = None
    """Other names of segments, for masking. None: only the segment's own name is masked; False: nothing is."""
    sensitivity: float | None = None
    """The rate of false alarms of shifts, per day; None for the default."""
    callback_url: str | None = None
    """Where shifts are posted, signed."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream and its counts of all texts since it was made. Times are Unix seconds."""

    uid: str
    name: str
    owner: str
    """The name of the API key that it belongs to; empty if the service has none."""
    settings: StreamSettings
    salt: bytes
    """Keys the hashes of its ids, authors and texts, which can be compared with those of no other stream."""
    created_at: float
    expires_at: float
    texts: int = 0
    """Texts that have a label."""
    failed: int = 0
    unread: int = 0
    """Texts in a language that the model does not read."""
    repeated: int = 0
    """Texts with an id that was counted before; they are counted nowhere else."""
    revision: int = 0
    """A number that grows with every chunk that is counted."""

    @property
    def labels_key(self) -> str:
        """See `tasks.streams.labels.Sampled`."""
        return stream_key(self.uid)

    @property
    def labels_ttl_s(self) -> int:
        """See `tasks.streams.labels.Sampled`."""
        return self.settings.ttl


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A text of the sample."""

    id: str
    """The keyed hash, 16 hexadecimal digits: of the text's own id, or of its place if it came without one. A text is in
    the sample if its hash is among the smallest of its segment's, so the sample is uniform, and the entries in the
    order of their hashes are in random order."""
    segment: str
    time_ms: int
    scores: tuple[float, float, float]
    masked: tuple[float, float, float] | None
    """The scores with the segment's name masked, if they differ."""
    text_cluster: int
    """A keyed hash of 64 bits, equal for equal cleaned texts."""
    author_cluster: int
    """The same for authors; 0 without an author."""
    text: str | None = None
    """As it was sent; only in streams with `keep_sample`."""
    gold: int | None = None
    """The label that it was sent with, 0 to 2."""


class Buckets(msgspec.Struct, frozen=True):
    """What was counted of a segment in a time, in the buckets that have anything, in order. n buckets."""

    starts: Floats
    """When each begins, in Unix seconds: (n,)."""
    sums: Floats
    """(n, 8): counts of NEGATIVE, NEUTRAL and POSITIVE; sums of p_neg, p_pos, p_neg^2, p_pos^2, p_neg * p_pos."""
    failed: Floats
    unread: Floats
