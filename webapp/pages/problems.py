"""Refusals as pages, for people who went to an address with their browser. Callers of the API get problem+json."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Flask, request
from werkzeug.wrappers import Response

from webapp.front.admission import PAGES
from webapp.front.errors import problem_of
from webapp.front.routes import prefers_page
from webapp.front.visit import visit
from webapp.pages.page import Pages

_TITLES = {
    404: "There is nothing here",
    405: "There is no page here",
    421: "Not by this name",
    429: "Too many tries",
    503: "Not ready yet",
}
_DETAILS = {
    404: "The address may be mistyped, or what was here has expired or was deleted.",
    405: "This address belongs to the API: programs send texts to it. The API page describes how.",
}


def problem_in(app: Flask, pages: Pages, error: Exception, environ: dict[str, Any]) -> Response:
    """The answer to a request that was refused before it came to Flask."""
    if not _is_for_people(environ):
        return problem_of(error)
    with app.request_context(environ):
        return _page(pages, problem_of(error))


def problem_for(pages: Pages, error: Exception) -> Response:
    """The answer to a request that Flask has, and whose endpoint refuses or fails."""
    response = problem_of(error)
    return _page(pages, response) if _is_for_people(request.environ) else response


def _is_for_people(environ: dict[str, Any]) -> bool:
    """Whether the caller went to a page, or to no address at all, and would rather have a page than JSON."""
    endpoint = visit().route.endpoint
    return (endpoint is None or endpoint in PAGES) and prefers_page(environ)


def _page(pages: Pages, problem: Response) -> Response:
    told = orjson.loads(problem.data)
    status = problem.status_code
    response = pages.show(
        "problem.html",
        status=status,
        title=_TITLES.get(status, told["title"]),
        detail=_DETAILS.get(status, told["detail"]),
        request_id=told["request_id"],
    )
    for name in ("Retry-After", "Allow"):
        if name in problem.headers:
            response.headers[name] = problem.headers[name]
    return response
