"""What the classes of a model are taken to mean, and its own classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import find_checkpoint, own_analysis
from model.engines.registry import load_engine
from model.errors import ModelRefused, UnknownLabels
from model.labels import SENTIMENT
from tests.support.checkpoints import SENTENCES

TEXTS = list(SENTENCES)
EMOTIONS = ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"]

Make = Callable[..., Path]


def test_numbered_classes_are_guessed_and_said(checkpoint: Make, caplog: pytest.LogCaptureFixture) -> None:
    """LABEL_0 to LABEL_2 get their usual meaning; the description and one line of the log say that it is a guess."""
    folder = str(checkpoint("bert", ["LABEL_0", "LABEL_1", "LABEL_2"]))
    with caplog.at_level(logging.WARNING):
        engine = load_engine(folder, engine="pipeline", device="cpu")
    assert engine.description.guessed
    assert engine.description.mapped == SENTIMENT.classes
    (line,) = [record.getMessage() for record in caplog.records if record.name == "model.checkpoint"]
    assert "LABEL_0 is NEGATIVE, LABEL_1 is NEUTRAL, LABEL_2 is POSITIVE" in line
    named = find_checkpoint(folder, label_map={"LABEL_0": "POSITIVE", "LABEL_1": "NEUTRAL", "LABEL_2": "NEGATIVE"})
    assert not named.classes.guessed


def test_two_classes(checkpoint: Make) -> None:
    """A model with two classes serves sentiment: NEUTRAL is always 0, and the description says that it has two."""
    engine = load_engine(str(checkpoint("bert", ["NEGATIVE", "POSITIVE"])), engine="pipeline", device="cpu")
    scores = engine.score(TEXTS).probabilities
    assert scores[:, 1].tolist() == [0.0] * len(TEXTS)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert (engine.description.two_class, engine.description.names) == (True, ("NEGATIVE", "POSITIVE"))


def test_emotions_are_refused_with_what_to_write(checkpoint: Make) -> None:
    """Seven emotions are refused, with a LABEL_MAP of the model's own classes to fill in, and LABELS=own."""
    with pytest.raises(UnknownLabels) as refused:
        find_checkpoint(str(checkpoint("bert", EMOTIONS)))
    said = str(refused.value)
    example = json.loads(said[said.index("'{") + 1 : said.index("}'") + 1])
    assert example == dict.fromkeys(EMOTIONS, "?") | {"neutral": "NEUTRAL"}
    assert said.endswith("LABELS=own")
    filled = {name: meaning.replace("?", "NEGATIVE") for name, meaning in example.items()}
    assert find_checkpoint(str(checkpoint("bert", EMOTIONS)), label_map=filled).classes.mapped[4] == "NEUTRAL"


def test_names_that_no_line_has_room_for(checkpoint: Make, folder: Path) -> None:
    """What a model calls its classes cannot fill a log or write to a terminal: a message names some of many, with signs
    that cannot be printed escaped, and endless names are refused.
    """
    with pytest.raises(UnknownLabels) as refused:
        find_checkpoint(str(checkpoint("bert", [f"\x1b[31mred\n{number}" for number in range(300)])))
    said = str(refused.value)
    assert said.isprintable()
    assert "and 280 more" in said
    assert len(said) < 2000
    config = json.loads((folder / "config.json").read_text())
    for names in ({"0": "x" * 300, "1": "y"}, {str(number): "x" for number in range(20_000)}):
        (folder / "config.json").write_text(json.dumps(config | {"id2label": names}))
        with pytest.raises(ModelRefused, match=r"at most"):
            find_checkpoint(str(folder))


def test_own_classes(checkpoint: Make) -> None:
    """The model's own classes are an analysis: each output is one of its columns."""
    folder = str(checkpoint("bert", EMOTIONS))
    analysis = own_analysis(folder)
    assert (analysis.name, analysis.classes) == ("classification", tuple(EMOTIONS))
    engine = load_engine(folder, engine="pipeline", device="cpu", analysis=analysis)
    assert engine.score(TEXTS).probabilities.shape == (len(TEXTS), 7)
    assert engine.identity.endswith(f"/pipeline{analysis.suffix}")
    found = find_checkpoint(folder, analysis=analysis).classes
    assert (found.matrix.tolist(), found.two_class, found.guessed) == (np.eye(7).tolist(), False, False)


def test_own_classes_with_odd_names(checkpoint: Make) -> None:
    """Characters that a class may not have become `_`, and the model's outputs are still found under their names."""
    names = ["mixed/unclear", "1 star", "_private", "Sehr gut!", "très bien"]
    folder = str(checkpoint("bert", names))
    analysis = own_analysis(folder)
    assert analysis.classes == ("mixed_unclear", "1 star", "private", "Sehr gut_", "très bien")
    assert find_checkpoint(folder, analysis=analysis).classes.mapped == analysis.classes


@pytest.mark.parametrize(
    "names", [["a/b", "a-b", "a\\b"], ["joy", "Joy "], ["!", "fine"], [f"c{n}" for n in range(101)]]
)
def test_own_classes_that_cannot_be_served(checkpoint: Make, names: list[str]) -> None:
    """Names that become the same, names without a letter, and too many are refused."""
    with pytest.raises(UnknownLabels, match="cannot be served as they are"):
        own_analysis(str(checkpoint("bert", names)))
