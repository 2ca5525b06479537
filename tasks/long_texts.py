"""What LONG_TEXTS means for predictions that another process has made: one by another rule must not be answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tasks.store.outcomes import Scored

LongTexts = Literal["windows", "truncate", "refuse"]


def fits(long_texts: LongTexts) -> Callable[[Scored], bool]:
    """Whether a prediction is as this setting would have it: the cache may hold those of other settings, and of the
    version before, which truncated every long text.
    """
    match long_texts:
        case "windows":
            return lambda scored: not scored.truncated
        case "truncate":
            return lambda scored: scored.remarks.windows == 1
        case "refuse":
            return lambda scored: not scored.truncated and scored.remarks.windows == 1
