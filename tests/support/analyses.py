"""Analyses that a service of the tests is asked for, as its user would declare them."""

from __future__ import annotations

from model.analysis import Analysis

SPAM = Analysis("spam", ("HAM", "SPAM"))
SPAM_TURNED = Analysis("spam", ("SPAM", "HAM"))
"""The same name and classes, but the columns mean something else."""
TOPICS = Analysis(
    "topics", ("SPORT", "MUSIC", "FILM", "FOOD", "TRAVEL", "SCIENCE", "STATUS", "True-Crime", "Home 2", "any_other")
)
"""Ten classes, one of which is called as a column of the results is."""

NOT_ONE = ("HAM", "SPAM")
IMPOSTOR = Analysis("sentiment", ("UP", "DOWN"))
"""It calls itself as the one that Sentiq ships."""
