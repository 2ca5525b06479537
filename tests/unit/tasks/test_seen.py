"""The memory of a job's texts: right, and as fast for chosen digests as for any others."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from tasks.submit.seen import SeenTexts

TEXTS = 3000
RANDOM = random.Random(15)


def seconds(digests: Sequence[str]) -> float:
    """The processor time that it takes to remember these digests, at best."""
    best = float("inf")
    for _ in range(3):
        seen, began = SeenTexts(), time.process_time()
        for number, digest in enumerate(digests):
            assert seen.find(digest) is None
            seen.put(digest, number)
        best = min(best, time.process_time() - began)
    return best


def test_every_text_is_found() -> None:
    """Each digest has the number that it was given last, however many there are; others have none."""
    digests = [f"{RANDOM.getrandbits(128):032x}" for _ in range(20_000)]
    seen = SeenTexts()
    for number, digest in enumerate(digests):
        seen.put(digest, number + 1)
        seen.put(digest, number)
    assert [seen.find(digest) for digest in digests] == list(range(len(digests)))
    assert seen.find(f"{RANDOM.getrandbits(128):032x}") is None


@pytest.mark.parametrize("shape", ["{0:010x}{1:022x}", "{1:022x}{0:010x}", "{1:08x}{0:08x}{1:016x}", "{1:032x}"])
def test_chosen_digests_are_no_slower(shape: str) -> None:
    """A caller that looks for texts whose digests are alike in many bits does not make a job's texts take longer."""
    others = [f"{RANDOM.getrandbits(128):032x}" for _ in range(TEXTS)]
    chosen = [shape.format(0, number) for number in range(1, TEXTS + 1)]
    assert seconds(chosen) < 5 * seconds(others) + 0.02
