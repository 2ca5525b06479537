"""The addresses of the pages. Each page has a module of its own, which adds its addresses to this blueprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, send_from_directory
from prometheus_client import CollectorRegistry

from tasks.keys import ApiKey
from tasks.store.sessions import Sessions
from tasks.submit.service import SentimentService
from webapp.pages.label import add_label
from webapp.pages.page import STATIC, Pages
from webapp.pages.signing import add_signing
from webapp.pages.status import Links, add_status
from webapp.pages.trying import add_try

_A_YEAR_S = 31_536_000


def pages_blueprint(
    pages: Pages,
    sentiment: SentimentService,
    keys: Mapping[str, ApiKey],
    sessions: Sessions,
    links: Links,
    collected: Callable[[], CollectorRegistry],
) -> Blueprint:
    """The blueprint of the pages. Addresses of pages that the API has too, such as `/streams`, begin with `/pages`
    here: `webapp.front.routes` leads there whoever would rather have a page than JSON.

    Args:
        pages: shows them.
        sentiment: the service.
        keys: by which people sign in.
        sessions: those who have.
        links: to pages of other programs.
        collected: see `add_status`.
    """
    blueprint = Blueprint("pages", __name__, template_folder="templates")

    add_label(blueprint, pages, sentiment.streams)

    add_status(blueprint, pages, sentiment, links, collected)

    @blueprint.get("/pages/static/<version>/<path:file>")
    def static(version: str, file: str) -> Response:
        """A file of the pages. Its address has the digest of all files, so it never changes while that is right."""
        response = send_from_directory(STATIC, file, conditional=True, max_age=0)
        if version == pages.version:
            response.headers["Cache-Control"] = f"public, max-age={_A_YEAR_S}, immutable"
        return response

    add_try(blueprint, pages, sentiment)
    add_signing(blueprint, pages, keys, sessions)
    return blueprint
