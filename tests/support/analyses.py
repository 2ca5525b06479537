"""Analyses for tests, declared as a user would declare them."""

from __future__ import annotations

from model.analysis import Analysis

SPAM = Analysis("spam", ("HAM", "SPAM"))
SPAM_TURNED = Analysis("spam", ("SPAM", "HAM"))
"""An analysis with the same name and classes, but in another order of the columns."""
TOPICS = Analysis(
    "topics", ("SPORT", "MUSIC", "FILM", "FOOD", "TRAVEL", "SCIENCE", "STATUS", "True-Crime", "Home 2", "any_other")
)
"""An analysis with ten classes, one of which has the name of a column of the results."""

NOT_ONE = ("HAM", "SPAM")
IMPOSTOR = Analysis("sentiment", ("UP", "DOWN"))
"""An analysis with the name of the one that Sentiq ships."""
