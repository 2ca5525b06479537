"""What an answer says of a scored text, in the one form that all answers have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.warnings import NOT_MENTIONED, TRUNCATED, TWO_CLASS, UNCERTAIN
from tasks.store.outcomes import Scored

Flags = Callable[[str | None], dict[str, bool]]
"""What is said of the model of an identity: see `webapp.api.answers.PredictionAnswers.flags`."""


def said(scored: Scored, classes: Sequence[str], flags: dict[str, bool]) -> dict[str, object]:
    """Label, scores, language and warnings of a text. A text that is refused for its language has no label.

    Args:
        scored: its outcome.
        classes: the names of the scores.
        flags: what is said of the model that scored.
    """
    remarks = scored.remarks
    language = remarks.language
    shown: dict[str, object]
    if remarks.refused:
        shown = {"label": None, "confidence": None, "scores": None}
    else:
        shown = {
            "label": classes[scored.decided],
            "confidence": scored.confidence,
            "scores": dict(zip(classes, scored.scores, strict=True)),
        }
    shown["language"] = None if language is None else {"code": language.code, "sureness": language.sureness}
    shown["uncertain"] = UNCERTAIN in remarks.warnings
    shown["warnings"] = warnings(scored, flags)
    shown["truncated"] = scored.truncated
    shown["windows"] = remarks.windows
    return shown


def not_mentioned() -> dict[str, object]:
    """The same of a text that does not name its target, and so was not scored."""
    return {
        "label": None,
        "confidence": None,
        "scores": None,
        "language": None,
        "uncertain": False,
        "warnings": [NOT_MENTIONED],
        "truncated": False,
        "windows": 0,
    }


def warnings(scored: Scored, flags: dict[str, bool]) -> list[str]:
    """The warnings of a text, those of its worker first: see `model.warnings`."""
    found = list(scored.remarks.warnings)
    if scored.truncated:
        found.append(TRUNCATED)
    if "two_class" in flags:
        found.append(TWO_CLASS)
    return found
