"""The addresses of the pages. Each page has a module of its own, which adds its addresses to this blueprint."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, send_from_directory

from tasks.keys import ApiKey
from tasks.store.sessions import Sessions
from tasks.submit.service import SentimentService
from webapp.api.events import Listeners
from webapp.pages.page import PREDICTS, RUNS_JOBS, STATIC, Pages
from webapp.pages.signing import add_signing
from webapp.pages.streams import add_streams

_A_YEAR_S = 31_536_000


def pages_blueprint(
    pages: Pages,
    sentiment: SentimentService,
    listeners: Listeners,
    keys: Mapping[str, ApiKey],
    sessions: Sessions,
) -> Blueprint:
    """The blueprint of the pages. Addresses of pages that the API has too, such as `/streams`, begin with `/pages`
    here: `webapp.front.routes` leads there whoever would rather have a page than JSON.
    """
    blueprint = Blueprint("pages", __name__, template_folder="templates")

    @blueprint.get("/")
    def start() -> Response:
        return pages.show("try.html", needs=PREDICTS)

    @blueprint.get("/files")
    def files() -> Response:
        return pages.show("files.html", needs=RUNS_JOBS)

    @blueprint.get("/status")
    def status() -> Response:
        return pages.show("status.html", needs=PREDICTS | RUNS_JOBS)

    @blueprint.get("/pages/static/<version>/<path:file>")
    def static(version: str, file: str) -> Response:
        """A file of the pages. Its address has the digest of all files, so it never changes while that is right."""
        response = send_from_directory(STATIC, file, conditional=True, max_age=0)
        if version == pages.version:
            response.headers["Cache-Control"] = f"public, max-age={_A_YEAR_S}, immutable"
        return response

    add_streams(blueprint, pages, sentiment.streams, listeners)
    add_signing(blueprint, pages, keys, sessions)
    return blueprint
