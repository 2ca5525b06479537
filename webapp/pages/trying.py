"""The page to try a text on. All that it shows of a text, its scripts get from `/predict`."""

from __future__ import annotations

from flask import Blueprint, Response

from model.labels import SENTIMENT
from tasks.cost import READ_BYTES
from tasks.submit.service import SentimentService
from webapp.pages.page import PREDICTS, Pages

_EXAMPLES = (
    "What a show, I loved it!",
    "The food was great, but we waited an hour and the waiter was rude.",
    "The bus leaves at nine from platform two.",
    "La comida era muy buena, pero el servicio fue un desastre.",
)
"""One of each label, and one that an English model does not read."""


def add_try(blueprint: Blueprint, pages: Pages, sentiment: SentimentService) -> None:
    """Adds the page, which is the first that people see."""
    analysis = sentiment.analysis
    models = [model.name for model in sentiment.models.settings]

    @blueprint.get("/")
    def start() -> Response:
        return pages.show(
            "try.html",
            needs=PREDICTS,
            classes=list(analysis.classes),
            models=models,
            examples=_EXAMPLES if analysis == SENTIMENT else (),
            has_keys=pages.has_keys,
            weighs_bytes=READ_BYTES,
        )
