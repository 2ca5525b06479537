"""The two kinds of workers, and all in which they differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of worker."""

    name: str
    """Of the role and its queue."""
    threads: int
    """Chunks at once."""
    call_s: float
    """Texts of several chunks that are scored in one call of the engine take about so long at the most; with 0 each
    chunk is a call.
    """
    niceness: int = 0
    """Added to the process's."""
    upkeep: bool = False
    """It does what has to be done for jobs now and then."""

    def texts_together(self, texts_per_s: float) -> int:
        """The most texts of several chunks in one call."""
        return max(1, int(texts_per_s * self.call_s))


INTERACTIVE = Role("interactive", threads=6, call_s=0.25)
"""For callers who wait: what their chunks have gathered is scored in one call."""
BATCH = Role("batch", threads=1, call_s=0.0, niceness=19, upkeep=True)
"""For jobs: live callers have the processor first, and jobs still get a little of it. Their chunks are large enough,
and each finds what the one before has scored.
"""
ROLES = {role.name: role for role in (INTERACTIVE, BATCH)}
