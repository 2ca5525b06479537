"""Asks the web whether all is ready, and for a first prediction."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from webapp.launch.plan import Plan

_TIMEOUT_S = 10.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to ask a web that listens on all addresses."""


class _AtSocket(HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """See `HTTPConnection.connect`."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


class Asking:
    """Asks one web."""

    def __init__(self, plan: Plan, path: Path | None = None) -> None:
        """`path`: the unix socket at which the web answers, if not yet where callers reach it."""
        self._plan = plan
        self._path = path

    def missing(self) -> tuple[list[str], list[dict[str, Any]]]:
        """What /health misses, and which workers compile their model."""
        _, body = self._call("GET", "/health/ready")
        if not isinstance(body, dict):
            return ["web"], []
        return list(body.get("missing", ["web"])), list(body.get("compiling", []))

    def first_answer(self, model: str | None, meanwhile: Callable[[], bool]) -> str:
        """Waits for a prediction through a model's queue; returns what the ready line says of it.

        Args:
            model: the model's name; None for that of requests without.
            meanwhile: called before each try; if it returns False, nothing is waited for any more.
        """
        # A new text each time: an answer from the cache would prove nothing.
        text = f"Sentiq is up, and that is great news ({uuid.uuid4().hex[:8]})"
        while meanwhile():
            body = {"text": text[-self._plan.max_text_chars :]} | ({} if model is None else {"model": model})
            status, prediction = self._call("POST", "/predict", body)
            if status == 200 and not prediction["cached"]:
                return str(prediction["model"] if model is None else f"{model}: {prediction['model']}")
            text += "."
            if status != 202:  # this address has used up its limit, or the web looks for the workers again soon
                time.sleep(1)
        return ""

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Prefer": "wait=5"}
        if self._plan.key is not None:
            headers["Authorization"] = f"Bearer {self._plan.key}"
        if self._path is not None:
            connection: HTTPConnection = _AtSocket(self._path)
        else:
            connection = HTTPConnection(
                ANYWHERE.get(self._plan.host, self._plan.host), self._plan.port, timeout=_TIMEOUT_S
            )
        try:
            connection.request(method, path, json.dumps(body).encode() if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, _json_or_empty(answer.read())
        except (OSError, HTTPException):
            return 0, {}
        finally:
            connection.close()


def _json_or_empty(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return {}
