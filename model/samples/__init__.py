"""Texts that were written for Sentiq: some fix the scales of the int8 arithmetic, others check what came of it.

They are tweets, reviews, complaints and plain statements in two dozen languages, without labels. `calibration.txt` and
`gate.txt` share no sentence.
"""

from __future__ import annotations

from pathlib import Path

from model.errors import EngineUnavailable
from model.text import clean

LEAST_GIVEN = 50
"""The smallest number of texts that a file of one's own may have for the calibration."""
MOST_GIVEN = 300
"""Of a file with more, so many are taken, evenly."""

_FOLDER = Path(__file__).parent


def calibration_texts() -> list[str]:
    """240 texts for the calibration, as an engine gets them."""
    lines = _lines("calibration.txt")
    return _cleaned([*lines, *_joined(lines, 240 - len(lines), (2, 3, 2, 6, 2, 3, 25))])


def gate_texts() -> list[str]:
    """400 texts for the gate, as an engine gets them."""
    lines = _lines("gate.txt")
    # The last is longer than any model reads.
    return _cleaned([*lines, *_joined(lines, 399 - len(lines), (2, 2, 3, 2, 2, 4, 2, 12)), " ".join(lines[:120])])


def given_texts(path: Path) -> list[str]:
    """Texts of one's own for the calibration, as an engine gets them.

    Raises:
        EngineUnavailable: the file cannot be read, or has too few.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise EngineUnavailable(f"CALIBRATION_TEXTS: {path} cannot be read (it is not a file)")
    try:
        texts = [text for line in path.read_text(encoding="utf-8-sig").splitlines() if (text := clean(line))]
    except OSError as error:
        raise EngineUnavailable(f"CALIBRATION_TEXTS: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise EngineUnavailable(f"CALIBRATION_TEXTS: {path} cannot be read (it is not UTF-8)") from None
    if len(texts) < LEAST_GIVEN:
        raise EngineUnavailable(
            f"CALIBRATION_TEXTS: {path} has {len(texts)} texts, one a line; at least {LEAST_GIVEN} are needed"
        )
    count = min(len(texts), MOST_GIVEN)
    return [texts[len(texts) * place // count] for place in range(count)]


def _lines(name: str) -> list[str]:
    return (_FOLDER / name).read_text(encoding="utf-8").splitlines()


def _joined(lines: list[str], count: int, sizes: tuple[int, ...]) -> list[str]:
    """Longer texts, each of some neighbouring lines; neighbours have the same language."""
    starts = [len(lines) * place // max(1, count) for place in range(count)]
    return [" ".join(lines[start : start + sizes[place % len(sizes)]]) for place, start in enumerate(starts)]


def _cleaned(texts: list[str]) -> list[str]:
    return [clean(text) for text in texts]
