"""The two kinds of workers, and everything in which they differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of worker."""

    name: str
    """The name of the role and of its queue."""
    threads: int
    """The number of chunks that are worked on at once."""
    call_s: float
    """The longest time, in seconds, that one call of the engine with texts of several chunks should take.

    With 0, each chunk has its own call."""
    niceness: int = 0
    """What is added to the process's niceness."""
    upkeep: bool = False
    """Whether the worker does the regular tasks for jobs (`tasks.work.upkeep`)."""

    def cost_together(self, texts_per_s: float) -> int:
        """What the texts of several chunks in one call of the engine may cost."""
        return max(1, int(texts_per_s * self.call_s))


INTERACTIVE = Role("interactive", threads=6, call_s=0.5)
"""For waiting callers: texts of several of their chunks are scored in one call."""
BATCH = Role("batch", threads=1, call_s=0.0, niceness=19, upkeep=True)
"""For jobs: live callers have the processor first, and jobs still get a little of it.

A job's chunks are large enough for a call each. With one thread, each chunk finds what the one before has scored."""
ROLES = {role.name: role for role in (INTERACTIVE, BATCH)}
