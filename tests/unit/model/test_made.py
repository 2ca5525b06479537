"""Training texts that are made by rule: emoji alone and after words, and texts that say nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from model.training import data, made, soft
from model.training.data import Source

NAMES = {"😂": "face with tears of joy", "🦀": "crab"}


def test_emoji_are_read_as_their_names() -> None:
    """Each emoji is there alone, repeated and after texts; teachers read its name, and people's shares are given."""
    found = made.emoji_texts(NAMES, {"😂": (0.25, 0.25, 0.5)}, ["one", "two", "three", "four"])
    assert found == made.emoji_texts(NAMES, {"😂": (0.25, 0.25, 0.5)}, ["one", "two", "three", "four"])
    alone = [one for one in found if one.text.strip("😂") == ""]
    assert [one.text for one in alone] == ["😂", "😂😂", "😂😂😂"]
    assert {(one.said, one.given) for one in alone} == {("face with tears of joy", (0.25, 0.25, 0.5))}
    after = [one for one in found if one.text.endswith(" 🦀")]
    assert len(after) == 3
    assert all(one.said == one.text.replace("🦀", "crab") and not one.given for one in after)


def test_what_people_said_of_emoji() -> None:
    """The shares of an emoji sum to 1 and say what people mean by it; of rare ones nothing is known."""
    pytest.importorskip("emosent")
    shares = made.judged()
    assert len(shares) > 300
    assert all(sum(values) == pytest.approx(1) and min(values) > 0 for values in shares.values())
    assert shares["❤"][2] > 0.7 > 0.4 > shares["😡"][2]


def test_texts_that_say_nothing() -> None:
    """They are the same each time, of many kinds, and what they get is sure of nothing and sums to 1."""
    found = made.nothings(2000)
    assert found == made.nothings(2000)
    assert len({one.text for one in found}) > 1000
    assert all(one.text.strip() and one.said == "" for one in found)
    assert {one.given for one in found} == {found[0].given}
    assert sum(found[0].given) == pytest.approx(1)
    assert found[0].given[1] == max(found[0].given) < 0.5


def test_soft_labels_of_made_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers score an emoji by its name, what is given counts as much, and texts that say nothing are not scored."""
    monkeypatch.setattr(made, "_NOTHINGS", 50)
    (tmp_path / "unlabelled").mkdir()
    texts = "\n".join(["text", *(f"text {n}" for n in range(10)), ""])
    (tmp_path / "unlabelled/tweets.tsv.gz").write_bytes(gzip.compress(texts.encode()))
    pytest.importorskip("emoji")
    pytest.importorskip("emosent")
    from model.training.emoji import all_in_use

    asked: list[str] = []

    def score(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.tile(np.array([[1, 0, 0]], np.float32), (len(texts), 1))

    sources = (Source(made.EMOJI), Source(made.NOTHING))
    soft.soften(score, tmp_path, sources, tmp_path / "out")
    found = soft.soft_labels(tmp_path / "out", sources)
    examples = data.draw(tmp_path, (Source(made.EMOJI),))
    assert len(asked) == len(examples) == 6 * len(all_in_use())
    assert "crab" in asked
    assert "🦀" not in asked
    heart = next(example for example in examples if example.text == "❤")
    assert found[made.EMOJI][heart.row] == pytest.approx(np.mean([made.judged()["❤"], (1, 0, 0)], 0), abs=1e-6)
    crab = next(example for example in examples if example.text.endswith("🦀") and " " in example.text)
    assert found[made.EMOJI][crab.row].tolist() == [1, 0, 0]
    assert found[made.NOTHING] == pytest.approx(np.tile(made.nothings(1)[0].given, (4000, 1)), abs=1e-6)
