"""The systems that are compared: how each is started, and how it is sent one text, ten texts and many."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import services
from benchmarks.services import ROOT, Answer, Service, exchange, free_port
from model.source import DEFAULT_FOLDER
from tasks.store.embedded import find_server

_HERE = ROOT / "benchmarks" / "baseline"
Batch = tuple[int, list[Answer]]
"""A status and, if it is 200, the answers in order."""


class System(Service):
    """A service that is compared with others."""

    exact = False
    """Whether all its labels must be those of the compiled engine. Systems that compute in fp32 may differ where the
    engine's two highest scores are close.
    """

    own_labels = True
    """Whether it answers with the model's own labels instead of the classes that these count as."""

    restless = False
    """Whether it uses the processor while idle, and so is paused while others are measured."""

    def rest(self) -> None:
        """Pauses it by a signal, if it is restless."""
        if self.restless:
            self.signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """A context in which it runs; afterwards it rests."""
        if self.restless:
            self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.rest()

    def batch(self, connection: HTTPConnection, texts: Sequence[str]) -> Batch:
        """Sends several texts at once, as its users would."""
        raise NotImplementedError

    def bulk(self, texts: Sequence[str], limit_s: float) -> tuple[int, float, list[Answer]]:
        """Sends many texts. Returns how many were answered within the limit, in how many seconds, and some of the
        answers, from the first on.
        """
        connection, answers, began = self.connect(), list[Answer](), time.perf_counter()
        for start in range(0, len(texts), 100):
            status, found = self.batch(connection, texts[start : start + 100])
            assert status == 200, status
            answers += found
            if time.perf_counter() - began > limit_s:
                break
        seconds = time.perf_counter() - began
        connection.close()
        return len(answers), seconds, answers


class Sentiq(services.Sentiq, System):
    """Sentiq. A small batch is answered at once, with `Prefer: return=representation`."""

    exact = True
    own_labels = False

    def batch(self, connection: HTTPConnection, texts: Sequence[str]) -> Batch:
        """Sends one request, which waits for the predictions."""
        prefer = {"Prefer": "return=representation, wait=30"}
        status, body = exchange(connection, "POST", "/batch_predict", json.dumps({"texts": texts}).encode(), prefer)
        return status, [Answer(200, line["label"], line["cached"]) for line in body["items"]] if status == 200 else []

    def bulk(self, texts: Sequence[str], limit_s: float) -> tuple[int, float, list[Answer]]:
        """Sends one job and waits for its end; the limit is not needed."""
        began = time.perf_counter()
        job = self.ended(self.submit(texts))
        seconds = time.perf_counter() - began
        assert job["status"] == "succeeded", job["status"]
        _, page = self.ask("GET", f"{job['links']['results']}?limit=200")
        return job["done"], seconds, [Answer(200, line["label"], line["cached"]) for line in page["items"]]


class Pipelined(Sentiq):
    """Sentiq that runs the same model by torch."""

    name = "Sentiq, pipeline"
    exact = False

    def environment(self) -> dict[str, str]:
        """The engine, beside the further settings."""
        return super().environment() | {"ENGINE": "pipeline"}


class Baseline(System):
    """benchmarks/baseline/service.py under uvicorn, with a Redis server over TCP that writes nothing to disk."""

    name = "baseline"

    def __init__(self, folder: Path, python: Path, model: Path = DEFAULT_FOLDER) -> None:
        super().__init__(folder)
        self._python, self._model, self._redis_port = str(python), str(model), str(free_port())

    def commands(self) -> list[list[str]]:
        """The commands of the Redis server and of uvicorn."""
        store = [
            str(find_server()),
            "--port",
            self._redis_port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        web = [
            self._python,
            "-m",
            "uvicorn",
            "service:app",
            "--app-dir",
            str(_HERE),
            "--port",
            str(self.port),
            "--log-level",
            "warning",
        ]
        return [store, web]

    def environment(self) -> dict[str, str]:
        """The model's folder, which has the same weights as safetensors."""
        return {
            "MODEL": self._model,
            "REDIS_URL": f"redis://127.0.0.1:{self._redis_port}/0",
            "HF_HUB_OFFLINE": "1",
        }

    def batch(self, connection: HTTPConnection, texts: Sequence[str]) -> Batch:
        """Uses its endpoint for batches."""
        status, body = exchange(connection, "POST", "/batch", json.dumps({"texts": texts}).encode())
        return status, [Answer(200, *self.read(each)) for each in body] if status == 200 else []


class LitServe(System):
    """benchmarks/baseline/litserve_server.py. It has no cache, and takes one text per request."""

    name = "LitServe"
    restless = True

    def __init__(self, folder: Path, python: Path) -> None:
        super().__init__(folder)
        self._python = str(python)

    def commands(self) -> list[list[str]]:
        """The command of its server."""
        return [[self._python, str(_HERE / "litserve_server.py"), str(self.port)]]

    def environment(self) -> dict[str, str]:
        """The model's folder."""
        return {"MODEL": str(DEFAULT_FOLDER), "HF_HUB_OFFLINE": "1"}

    def read(self, body: Any) -> tuple[str, bool | None]:
        """Reads the prediction; it is never cached."""
        return body["label"], None


class Infinity(System):
    """infinity-emb's own server with its torch engine; it has no cache of classifications."""

    name = "infinity"
    path = "/classify"
    around = ('{"model":"default","input":[', "]}")

    def __init__(self, folder: Path, python: Path) -> None:
        super().__init__(folder)
        self._command = str(python.with_name("infinity_emb"))

    def commands(self) -> list[list[str]]:
        """The command, with fp32 because fp16 is many times slower on a CPU; the rest are defaults."""
        options = {
            "model-id": str(DEFAULT_FOLDER),
            "served-model-name": "default",
            "engine": "torch",
            "device": "cpu",
            "dtype": "float32",
        }
        options |= {"host": "127.0.0.1", "port": str(self.port), "log-level": "warning"}
        return [
            [
                self._command,
                "v2",
                *itertools.chain.from_iterable((f"--{name}", value) for name, value in options.items()),
            ]
        ]

    def environment(self) -> dict[str, str]:
        """Variables that keep it from using the network and sending statistics."""
        return {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}

    def read(self, body: Any) -> tuple[str, bool | None]:
        """Reads the prediction of the first text."""
        return max(body["data"][0], key=lambda each: each["score"])["label"], None

    def batch(self, connection: HTTPConnection, texts: Sequence[str]) -> Batch:
        """Sends one request with all texts."""
        status, body = exchange(
            connection, "POST", self.path, json.dumps({"model": "default", "input": texts}).encode()
        )
        return status, [Answer(200, *self.read({"data": [each]})) for each in body["data"]] if status == 200 else []


class Bare(System):
    """A view that answers with a constant under the same Gunicorn: the least that a cached answer could cost."""

    name = "bare WSGI"

    def commands(self) -> list[list[str]]:
        """The command, with Sentiq's Gunicorn configuration and worker class."""
        return [
            [sys.executable, "-m", "gunicorn", "-c", "python:webapp.server.gunicorn_conf", "benchmarks.bench.bare:app"]
        ]

    def environment(self) -> dict[str, str]:
        """A folder of its own, because the configuration creates a folder for metrics."""
        return {"PORT": str(self.port), "DATA_DIR": str(self.folder), "PYTHONPATH": str(ROOT)}
