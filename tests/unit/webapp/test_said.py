"""What an answer says of a scored text."""

from __future__ import annotations

from typing import get_args

from model.warnings import WARNINGS
from tasks.store.outcomes import Language, Remarks, Scored
from webapp.api.prediction_schemas import WarningCode
from webapp.api.said import said

CLASSES = ("NEGATIVE", "NEUTRAL", "POSITIVE")
SCORES = (0.1, 0.2, 0.7)


def test_plain() -> None:
    """A text without remarks has its label and scores, no language and no warning."""
    assert said(Scored(SCORES, False), CLASSES, {}, {}) == {
        "label": "POSITIVE",
        "confidence": 0.7,
        "scores": dict(zip(CLASSES, SCORES, strict=True)),
        "language": None,
        "uncertain": False,
        "warnings": (),
        "truncated": False,
        "windows": 1,
    }


def test_refused() -> None:
    """A text that is refused for its language has neither label nor scores, and says which language it is."""
    found = said(
        Scored(SCORES, False, Remarks(Language("es", 0.9), ("unsupported_language",), refused=True)), CLASSES, {}, {}
    )
    assert (found["label"], found["confidence"], found["scores"]) == (None, None, None)
    assert (found["language"], found["warnings"]) == ({"code": "es", "sureness": 0.9}, ("unsupported_language",))


def test_all_warnings() -> None:
    """Warnings of the worker come first, then those that the outcome and the model give."""
    remarks = Remarks(None, ("uncertain", "no_words"))
    found = said(Scored(SCORES, True, remarks), CLASSES, {"calibrated": True, "two_class": True}, {})
    assert (found["warnings"], found["uncertain"]) == (("uncertain", "no_words", "truncated", "two_class"), True)


def test_one_list_of_warnings() -> None:
    """The API's schema has the warnings of `model.warnings` and no others."""
    assert set(get_args(WarningCode.__value__)) == WARNINGS.keys()
