"""The warnings that an answer may carry, each with its meaning: the one list that code, API and documents use."""

from __future__ import annotations

UNSUPPORTED_LANGUAGE = "unsupported_language"
UNCERTAIN = "uncertain"
TRUNCATED = "truncated"
TWO_CLASS = "two_class"
NO_WORDS = "no_words"
NOT_MENTIONED = "not_mentioned"

WARNINGS = {
    UNSUPPORTED_LANGUAGE: "The text is surely in a language that the model does not read.",
    UNCERTAIN: "The confidence is below the threshold under which the model is often wrong.",
    TRUNCATED: "The text is longer than the model reads; its end was left out.",
    TWO_CLASS: "The model cannot give one of the labels.",
    NO_WORDS: "The text has no word or emoji that the model knows: only links, mentions, digits, signs.",
    NOT_MENTIONED: "The text does not name the target, and was not scored.",
}
