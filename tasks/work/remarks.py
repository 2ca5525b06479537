"""What a worker says of a text besides its scores: its language, and the warnings of `model.warnings` that it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from model.description import Description
from model.engine import Scores
from model.language import Languages
from model.warnings import NO_WORDS, UNCERTAIN, UNSUPPORTED_LANGUAGE
from tasks import metrics
from tasks.store.outcomes import Language, Remarks


class Remarker:
    """Says what there is to say of texts that one model has scored. Thread-safe."""

    def __init__(self, description: Description, *, refuse: bool) -> None:
        """`description`: of the model; `refuse`: whether texts in languages that it does not read get no label."""
        self._languages = Languages(description.languages)
        self._uncertain_below = description.uncertain_below or 0.0
        self._refuse = refuse

    def say(self, texts: Sequence[str], scores: Scores) -> list[Remarks]:
        """The remarks on cleaned texts, in their order."""
        confidences = scores.probabilities.max(axis=1).tolist()
        unread = [False] * len(texts) if scores.unread is None else scores.unread.tolist()
        remarks = list(map(self._of, texts, confidences, unread))
        for warning, count in Counter(warning for one in remarks for warning in one.warnings).items():
            metrics.TEXT_WARNINGS.labels(warning).inc(count)
        return remarks

    def _of(self, text: str, confidence: float, unread: bool) -> Remarks:
        found = self._languages.find(text)
        language = None if found.code is None else Language(found.code, found.sureness)
        if found.foreign:
            return Remarks(language, (UNSUPPORTED_LANGUAGE,), refused=self._refuse)
        warnings: tuple[str, ...] = () if found.words and not unread else (NO_WORDS,)
        if confidence < self._uncertain_below:
            warnings = (UNCERTAIN, *warnings)
        return Remarks(language, warnings)
