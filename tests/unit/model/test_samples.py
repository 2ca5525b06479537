"""The texts that come with Sentiq for the calibration and for the gate."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from model.errors import EngineUnavailable
from model.samples import LEAST_GIVEN, MOST_GIVEN, calibration_texts, gate_texts, given_texts
from model.text import clean

FOLDER = Path(__file__).parents[3] / "model" / "samples"
LETTERS = {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "THAI", "CJK", "HIRAGANA", "HANGUL"}


def test_enough_texts() -> None:
    """The gate has 400 texts, all different, and the calibration 240; all as an engine gets them."""
    gate, calibration = gate_texts(), calibration_texts()
    assert (len(gate), len(set(gate)), len(calibration)) == (400, 400, 240)
    assert all(text and clean(text) == text for text in (*gate, *calibration))


def test_nothing_is_checked_with_what_it_was_fitted_to() -> None:
    """Calibration and gate share no line."""
    lines = [(FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("calibration", "gate")]
    assert not set(lines[0]) & set(lines[1])


@pytest.mark.parametrize("texts", [gate_texts, calibration_texts], ids=["gate", "calibration"])
def test_many_languages_and_lengths(texts: type[list[str]]) -> None:
    """There are texts of all sizes, the longest longer than models read, in all large scripts, and emojis."""
    found = texts()
    names = {unicodedata.name(letter, "").split()[0] for text in found for letter in text if letter.isalpha()}
    assert names >= LETTERS
    assert any("😡" in text for text in found)
    words = sorted(len(text.split()) for text in found)
    assert words[0] == 1
    assert words[len(words) // 2] < 20
    assert words[-1] > 150
    assert max(len(text.split()) for text in gate_texts()) > 600


def test_given_texts(tmp_path: Path) -> None:
    """A file of one's own is cleaned; empty lines do not count; of many texts some are taken from all over the file."""
    path = tmp_path / "texts.txt"
    path.write_text("\ufeff" + "\n\n".join(f"text  number {number}" for number in range(1000)), encoding="utf-8")
    texts = given_texts(path)
    assert len(texts) == MOST_GIVEN
    assert texts[0] == "text number 0"
    assert int(texts[-1].split()[-1]) > 990


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"only one\n" * (LEAST_GIVEN - 1), f"at least {LEAST_GIVEN}"),
        (b"", "has 0 texts"),
    ],
)
def test_given_texts_that_do_not_do(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A file that is missing, not UTF-8 or too short is refused, with its path and the setting's name."""
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineUnavailable, match=said) as error:
        given_texts(path)
    assert str(path) in str(error.value)
    assert "CALIBRATION_TEXTS" in str(error.value)


def test_given_texts_of_a_pipe(tmp_path: Path) -> None:
    """A pipe is refused, and not waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EngineUnavailable, match="it is not a file"):
        given_texts(tmp_path / "pipe")
