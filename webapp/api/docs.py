"""`/openapi.json`, `/docs` and `/redoc` (ReDoc), all served by this process: nothing is loaded from elsewhere."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response, send_from_directory

from model.analysis import Analysis
from webapp.api.openapi import openapi_document
from webapp.pages.api_words import Group, choices, groups, is_list, shape, told
from webapp.pages.page import Pages

_REDOC = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sentiq API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>body{margin:0}</style></head>
<body><redoc spec-url="openapi.json" disable-google-font="true"></redoc>
<script src="assets/redoc/js/redoc.standalone.js"></script></body></html>"""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""What ReDoc may load and run: this service's own files. It writes styles of its own into the page."""


def _assets(package: str) -> Path:
    # Found, not imported: the package would bring a second web framework's extension into every web process.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "templates"


def docs_blueprint(analysis: Analysis, prefix: str, pages: Pages) -> Blueprint:
    """The blueprint of the API's documentation."""
    blueprint = Blueprint("docs", __name__)
    folder = _assets("flask_openapi_redoc")

    @cache
    def described() -> dict[str, Any]:
        # Not at the start: it takes a tenth of that of a web process.
        return openapi_document(analysis, prefix, has_keys=pages.has_keys)

    @cache
    def document() -> bytes:
        return orjson.dumps(described())

    @cache
    def operations() -> list[Group]:
        return groups(described())

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(document(), mimetype="application/json")

    @blueprint.get("/docs")
    def api() -> Response:
        return pages.show(
            "docs.html",
            has_keys=pages.has_keys,
            groups=operations(),
            schemas=described()["components"]["schemas"],
            told=told,
            shape=shape,
            choices=choices,
            is_list=is_list,
        )

    @blueprint.get("/redoc")
    def redoc() -> Response:
        response = Response(_REDOC, mimetype="text/html")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @blueprint.get("/assets/redoc/<path:file>")
    def assets(file: str) -> Response:
        return send_from_directory(folder / "redoc", file, max_age=86_400)

    return blueprint
