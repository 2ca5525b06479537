"""How the page looks, and the policy by which a browser lets it have this one style and nothing else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

STYLE = (Path(__file__).parent / "report.css").read_text()
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src"
    f" 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)
"""The Content-Security-Policy of the page, in it and with it."""
