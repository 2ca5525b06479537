"""What is asked of a report, and the job that it is of: what the web process tells the one that makes it."""

from __future__ import annotations

from datetime import tzinfo

import msgspec

from webapp.reading.times import Order, zone_of

ROLES = ("time", "segment", "label", "author")
"""What a column may be asked for as, in the order of a row's cells."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the lines."""

    format: str
    """`json`, `html`, `fragment` (a part of a page), or `draw`: random texts to be labelled."""
    job: str
    model: str | None
    status: str
    created_at: float
    made_at: float
    """When the report is made."""
    target: str | None
    columns: tuple[str | None, ...]
    """The names of the columns for ROLES."""
    tz: str
    dates: str | None
    bucket: str | None
    labelled: bool = False
    """Whether rows have labels that people gave to texts of the job (`tasks.streams.job_labels`)."""
    notes: tuple[str, ...] = ()
    """What is known of these labels."""

    @property
    def zone(self) -> tzinfo:
        """Where times are told, and where those without an offset are."""
        return zone_of(self.tz)

    @property
    def order(self) -> Order | None:
        """Which part of a date comes first."""
        return None if self.dates is None else Order(self.dates)
