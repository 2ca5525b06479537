"""What an answer says of a scored text, in the one form that all answers have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.warnings import NOT_MENTIONED, TRUNCATED, TWO_CLASS, UNCERTAIN
from tasks.store.outcomes import Scored

Flags = Callable[[str | None], dict[str, bool]]
"""What is said of the model of an identity: see `webapp.api.answers.PredictionAnswers.flags`."""


def said(scored: Scored, classes: Sequence[str], flags: dict[str, bool], body: dict[str, object]) -> dict[str, object]:
    """Adds label, scores, language and warnings of a text to an answer's body, and returns that.

    A text that is refused for its language has no label.

    Args:
        scored: its outcome.
        classes: the names of the scores.
        flags: what is said of the model that scored.
        body: the beginning of the answer; it is changed, as copies take their time in each answer.
    """
    remarks = scored.remarks
    if remarks.refused:
        body["label"] = body["confidence"] = body["scores"] = None
    else:
        body["label"] = classes[scored.decided]
        body["confidence"] = scored.confidence
        body["scores"] = dict(zip(classes, scored.scores, strict=True))
    language = remarks.language
    body["language"] = None if language is None else {"code": language.code, "sureness": language.sureness}
    body["uncertain"] = UNCERTAIN in remarks.warnings
    body["warnings"] = warnings(scored, flags)
    body["truncated"] = scored.truncated
    body["windows"] = remarks.windows
    return body


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


def warnings(scored: Scored, flags: dict[str, bool]) -> tuple[str, ...]:
    """The warnings of a text, those of its worker first: see `model.warnings`."""
    found = scored.remarks.warnings
    if scored.truncated:
        found = (*found, TRUNCATED)
    return (*found, TWO_CLASS) if "two_class" in flags else found
