"""What a worker says of a text besides its scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.description import Description
from model.engine import Scores
from tasks.jobs.counts import field_of
from tasks.loading import load
from tasks.metrics import TEXT_WARNINGS
from tasks.settings import Settings
from tasks.store.outcomes import Language, Remarks, scored
from tasks.work.remarks import Remarker

GERMAN = "Ich warte jetzt seit zwei Stunden am Bahnhof und niemand sagt uns etwas."
ENGLISH = "I have been waiting at the station for two hours and nobody tells us anything."


def said(
    text: str, confidence: float = 0.9, *, refuse: bool = True, unread: bool | None = None, **facts: object
) -> Remarks:
    """The remarks on a text that was scored with this confidence, by a model of which these facts are known."""
    about = Description("stub", **({"languages": ("en",)} | facts))  # type: ignore[arg-type]
    rest = (1 - confidence) / 2
    scores = Scores(np.array([[confidence, rest, rest]], np.float32), np.zeros(1, np.bool_))
    if unread is not None:
        scores = replace(scores, unread=np.array([unread]))
    (remarks,) = Remarker(about, refuse=refuse).say([text], scores)
    return remarks


def counted(warning: str) -> float:
    """How many texts were counted under a warning."""
    (metric,) = TEXT_WARNINGS.collect()
    return sum(s.value for s in metric.samples if s.name.endswith("_total") and s.labels["warning"] == warning)


def test_languages() -> None:
    """A text surely in a language that the model does not read is refused, or only marked; others have no warning."""
    assert said(ENGLISH).warnings == ()
    assert said(ENGLISH).language is not None
    found = said(GERMAN)
    assert (found.language and found.language.code, found.warnings, found.refused) == (
        "de",
        ("unsupported_language",),
        True,
    )
    marked = said(GERMAN, refuse=False)
    assert (marked.warnings, marked.refused) == (("unsupported_language",), False)
    for languages in ((), ("de",), ("en", "de")):
        assert said(GERMAN, languages=languages).warnings == ()


def test_uncertain() -> None:
    """An answer is uncertain below the threshold and not from it on; without a threshold none is, nor one refused."""
    assert said(ENGLISH, 0.64, uncertain_below=0.645).warnings == ("uncertain",)
    assert said(ENGLISH, 0.65, uncertain_below=0.645).warnings == ()
    assert said(ENGLISH, 0.4).warnings == ()
    assert said(GERMAN, 0.4, uncertain_below=0.645).warnings == ("unsupported_language",)


def test_no_words() -> None:
    """A text without words, or without one that the model knows, says so, and may be uncertain besides."""
    assert said("@user http 123") == Remarks(None, ("no_words",))
    assert said("@user http 123", 0.5, uncertain_below=0.6).warnings == ("uncertain", "no_words")
    assert said("🦀", unread=True).warnings == ("no_words",)
    assert said("🦀", unread=False).warnings == ()


def test_counted_apart() -> None:
    """Texts with warnings are counted by warning; a refused line of a job is counted under no label, nor as failed."""
    before = counted("unsupported_language"), counted("no_words")
    said(GERMAN), said("123"), said(ENGLISH)
    assert (counted("unsupported_language"), counted("no_words")) == (before[0] + 1, before[1] + 1)
    row = [0.1, 0.2, 0.7]
    assert field_of(scored(row, False, said(GERMAN))) == "unsupported_language"
    assert field_of(scored(row, False, said(GERMAN, refuse=False))) == "label2"
    assert field_of(scored(row, False, Remarks(Language("en", 1.0)))) == "label2"


def stub(monkeypatch: pytest.MonkeyPatch, model: str = "stub", **given: str) -> tuple[str, Description]:
    """Identity and description of a model as a worker loads it with these settings."""
    monkeypatch.setenv("MODEL_NAME", model)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    engine = load(Settings(), "cpu", progress=lambda step, share: None)
    for name in given:
        monkeypatch.delenv(name)
    return engine.identity, engine.description


def test_settings_that_change_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other settings of what is said, the identity is another one, so that no cached answer says the opposite."""
    plain, about = stub(monkeypatch)
    assert (plain, about.languages, about.uncertain_below) == ("stub@1/stub", (), None)
    given = {"MODEL_LANGUAGES": "en, de-AT"}, {"OTHER_LANGUAGES": "score"}, {"UNCERTAIN_BELOW": "0.5"}
    found = [stub(monkeypatch, **one) for one in given]
    assert len({plain, *(identity for identity, _ in found)}) == 4
    assert all(identity.startswith("stub@1/stub~") for identity, _ in found)
    assert found[0][1].languages == ("en", "de")
    assert found[2][1].uncertain_below == 0.5


def test_the_embedded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model reads English and has a threshold, which a setting replaces."""
    _, about = stub(monkeypatch, "default")
    assert (about.languages, about.uncertain_below) == (("en",), 0.645)
    assert stub(monkeypatch, "default", UNCERTAIN_BELOW="0")[1].uncertain_below == 0
