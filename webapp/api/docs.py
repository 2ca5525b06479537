"""`/openapi.json`, `/docs` (Swagger UI) and `/redoc`, all served by this process: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from importlib.util import find_spec
from pathlib import Path

import orjson
from flask import Blueprint, Response, send_from_directory

from model.analysis import Analysis
from webapp.api.openapi import openapi_document

_SWAGGER = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sentiq API</title>
<link rel="stylesheet" href="assets/swagger/css/swagger-ui.css"></head>
<body><div id="ui"></div><script src="assets/swagger/js/swagger-ui-bundle.js"></script>
<script>{script}</script></body></html>"""
_SWAGGER_SCRIPT = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null})'
_REDOC = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sentiq API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>body{margin:0}</style></head>
<body><redoc spec-url="openapi.json" disable-google-font="true"></redoc>
<script src="assets/redoc/js/redoc.standalone.js"></script></body></html>"""

_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""What a page may load and run: this service's own files and the scripts with these digests. The two viewers write
inline styles.
"""


def html_page(html: str, *scripts: str) -> Response:
    """A page for people, which may run these inline scripts and no others."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY.replace(
        "{scripts}", "".join(f" 'sha256-{digest}'" for digest in digests)
    )
    return response


def _assets(package: str) -> Path:
    # Found, not imported: the package would bring a second web framework's extension into every web process.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "templates"


def docs_blueprint(analysis: Analysis, prefix: str) -> Blueprint:
    """The blueprint of the API's documentation."""
    blueprint = Blueprint("docs", __name__)
    document = orjson.dumps(openapi_document(analysis, prefix))
    folders = {"swagger": _assets("flask_openapi_swagger"), "redoc": _assets("flask_openapi_redoc")}

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, mimetype="application/json")

    @blueprint.get("/docs")
    def swagger() -> Response:
        return html_page(_SWAGGER.replace("{script}", _SWAGGER_SCRIPT), _SWAGGER_SCRIPT)

    @blueprint.get("/redoc")
    def redoc() -> Response:
        return html_page(_REDOC)

    @blueprint.get("/assets/<any(swagger, redoc):page>/<path:file>")
    def assets(page: str, file: str) -> Response:
        return send_from_directory(folders[page] / page, file, max_age=86_400)

    return blueprint
