"""Sends a labelled file through a running Sentiq and compares the answers with the engine's own.

    python -m benchmarks.service_accuracy FILE.tsv.gz --url http://127.0.0.1:8000 [--singles 3000] [--connections 32]
    python -m benchmarks.service_accuracy DATA/dev/*.tsv.gz --model FOLDER --engine pipeline --singles 0

The second compares what a compiled model answers with the same model run by torch in fp32. All rows go through
`/batch_predict` as one job, and the first distinct ones also through `/predict`, each made unknown to the cache by a
request of its own. Prints macro recall of both ways, wall times, statuses, and the largest difference between scores.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from model.engine import Engine
from model.engines.registry import load_engine
from model.labels import LABELS
from model.text import clean
from model.training.metrics import metrics
from model.types import FloatArray, IntArray


def _get(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, dict]:  # type: ignore[type-arg]
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}))
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as response:
        return response.status, json.load(response)


def run_job(url: str, texts: list[str]) -> tuple[list[dict], float]:  # type: ignore[type-arg]
    """Runs all texts as one job; returns its lines in order, and the seconds from submission until the last line is
    read.
    """
    started = time.perf_counter()
    _, job = _get(f"{url}/batch_predict", json.dumps({"texts": texts}).encode())
    while job["status"] in ("queued", "running"):
        _, job = _get(url + job["links"]["self"], headers={"Prefer": "wait=30"})
    lines: list[dict] = []  # type: ignore[type-arg]
    page: str | None = job["links"]["results"]
    while page:
        _, body = _get(url + page)
        lines += body["items"]
        page = body["next"]
    return lines, time.perf_counter() - started


def run_singles(url: str, texts: list[str], connections: int) -> tuple[list[tuple[int, dict]], list[float]]:  # type: ignore[type-arg]
    """Sends each text to `/predict` over so many kept-alive connections; returns (status, body) in order, and the
    seconds of each.
    """
    where = urlsplit(url)
    answers: list[tuple[int, dict]] = [(0, {})] * len(texts)  # type: ignore[type-arg]
    seconds = [0.0] * len(texts)
    numbers = iter(range(len(texts)))
    lock = threading.Lock()

    def client() -> None:
        connection = HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=60)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            started = time.perf_counter()
            connection.request(
                "POST", "/predict", json.dumps({"text": texts[number]}), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answers[number] = (response.status, json.loads(response.read()))
            seconds[number] = time.perf_counter() - started

    threads = [threading.Thread(target=client) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, seconds


def _difference(scores: dict[str, float], direct: np.ndarray) -> float:  # type: ignore[type-arg]
    return max(abs(scores[label] - float(direct[i])) for i, label in enumerate(LABELS))


def compare(
    file: Path, url: str, engine: Engine, singles: int, connections: int
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Sends one file both ways, and prints what differs from the engine. Returns the scores of the service and of the
    engine, and the right labels.
    """
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        next(lines)
        rows = [
            (text, [name.lower() for name in LABELS].index(label))
            for text, _, label in (line.rstrip("\n").rpartition("\t") for line in lines)
        ]
    texts, gold = [text for text, _ in rows], np.array([label for _, label in rows])
    direct = engine.score([clean(text) for text in texts]).probabilities
    print(f"{file.name}, {len(texts)} texts, compared with {engine.identity}")
    if singles:
        _compare_singles(texts, direct, url, singles, connections)

    items, wall_s = run_job(url, texts)
    assert all(item["status"] == "done" for item in items)
    assert [item["position"] for item in items] == list(range(len(texts)))
    served = np.array([[item["scores"][label] for label in LABELS] for item in items], dtype=np.float32)
    print(f"/batch_predict: {len(items)} lines, {wall_s:.1f} s, {len(items) / wall_s:.0f} a second")
    ours, theirs = (100 * metrics(each, gold).macro_recall for each in (served, direct))
    print(f"  macro recall {ours:.2f}; the engine directly {theirs:.2f}; difference {ours - theirs:+.2f}")
    print(f"  labels that differ: {int((served.argmax(1) != direct.argmax(1)).sum())}; ", end="")
    print(f"largest difference of a score: {np.abs(served - direct).max():.6f}", flush=True)
    return served, direct, gold


def _compare_singles(
    texts: list[str],
    direct: np.ndarray,  # type: ignore[type-arg]
    url: str,
    singles: int,
    connections: int,
) -> None:
    distinct = list({clean(text): i for i, text in enumerate(texts) if clean(text)}.values())[:singles]
    started = time.perf_counter()
    answers, seconds = run_singles(url, [texts[i] for i in distinct], connections)
    wall_s = time.perf_counter() - started
    statuses = collections.Counter(status for status, _ in answers)
    good = [(body, i) for (status, body), i in zip(answers, distinct, strict=True) if status == 200]
    print(
        f"/predict: {len(answers)} distinct texts, {connections} connections, {wall_s:.1f} s, statuses {dict(statuses)}"
    )
    print(f"  {len(answers) / wall_s:.0f} a second, p50 and p95 {np.percentile(seconds, [50, 95]) * 1e3} ms")
    print(f"  cached: {sum(body['cached'] for body, _ in good)}; labels that differ from the engine's: ", end="")
    print(sum(body["label"] != LABELS[int(direct[i].argmax())] for body, i in good), end="; ")
    print(
        "largest difference of a score:"
        f" {max((_difference(body['scores'], direct[i]) for body, i in good), default=0):.6f}"
    )


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--singles", type=int, default=3000, help="texts that are sent alone too")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--model", default="default", help="the model to compare with, as in MODEL_NAME")
    parser.add_argument("--engine", default="auto", help="`pipeline` compares what is served with torch in fp32")
    arguments = parser.parse_args()
    engine = load_engine(arguments.model, engine=arguments.engine, device="auto", batch_size=32, threads=0)
    found = [compare(file, arguments.url, engine, arguments.singles, arguments.connections) for file in arguments.files]
    if len(found) > 1:
        served, direct, gold = (np.concatenate(part) for part in zip(*found, strict=True))
        ours, theirs = (100 * metrics(each, gold).macro_recall for each in (served, direct))
        print(f"all {len(gold)} texts: macro recall {ours:.2f}; the engine directly {theirs:.2f}; {ours - theirs:+.2f}")


if __name__ == "__main__":
    main()
