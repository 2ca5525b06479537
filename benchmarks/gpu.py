"""Measures a GPU, or whatever device there is: `python -m benchmarks.gpu --out FOLDER [--quick]`.

It uses the pipeline engine, with the embedded model and with one of RoBERTa-base's size (its weights are random, which
does not change the speed). For the engine alone it measures texts per second by arithmetic and batch size, the cost of
tokenising, how far scores are from those of fp32, what CUDA graphs and torch.compile would gain, and which kernels run;
for the whole service jobs, `/predict`, and both at once. Texts are made of the tokenizer's words, and nothing is
downloaded. A step that needs a package which is not installed, or more time than is left, is reported as skipped.

Heavy imports are inside functions: the processes that only call the service need none of them.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import multiprocessing
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "model" / "default"
KINDS = {"tweets": (4, 45), "long": (300, 700)}
"""The range of a text's number of words: tweets have about 25 tokens, long texts are cut at the model's limit."""


class Report:
    """The measurements so far, which are written to disk after each step, and the time that is left."""

    def __init__(self, folder: Path, minutes: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, Any] = {}
        self._file = folder / "gpu.json"
        self._ends = time.monotonic() + 60 * minutes

    def step(self, name: str, needs_s: float, measure: Callable[[], Any]) -> None:
        """Runs a step and writes its result, unless it needs more time than is left. An error is recorded as the
        result, and the next step is run.
        """
        if time.monotonic() + needs_s > self._ends:
            self.found[name] = {"skipped": f"needs about {needs_s:.0f} s, more than is left"}
        else:
            began = time.monotonic()
            try:
                self.found[name] = measure()
            except Exception as error:  # kernels and libraries may fail on this machine
                self.found[name] = {"failed": _said(error)}
            _free()
            print(f"# {name}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        print(json.dumps({name: self.found[name]}), flush=True)
        self._file.write_text(json.dumps(self.found, indent=1) + "\n")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[-2000:]


def _free() -> None:
    """Frees the GPU memory of the last engine, because the next one's memory is measured, and the service needs it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def machine() -> dict[str, Any]:
    """Describes the machine."""
    import torch
    import transformers

    found: dict[str, Any] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    found |= {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "gpu": None}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_gib": properties.total_memory / 2**30,
        }
    return found


def roberta(folder: Path, *, small: bool) -> Path:
    """A classifier of RoBERTa-base's size and limit (124.6M parameters) with random weights and the embedded model's
    tokenizer.
    """
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    size = (
        {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
        if small
        else {}
    )
    labels = dict(enumerate(("NEGATIVE", "NEUTRAL", "POSITIVE")))
    shape = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 0} | size
    config = RobertaConfig(**shape, id2label=labels, label2id={name: i for i, name in labels.items()})
    RobertaForSequenceClassification(config).half().save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(DEFAULT)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return folder


def supply(kind: str, seed: int) -> Iterator[str]:
    """Yields different texts without end."""
    vocabulary = json.loads((DEFAULT / "tokenizer.json").read_text())["model"]["vocab"]
    words = [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 1]
    rng = random.Random(seed)
    least, most = KINDS[kind]
    for number in itertools.count():
        yield f"{' '.join(rng.choices(words, k=rng.randint(least, most)))} {seed}.{number}"


def load(folder: Path, device: str, dtype: str | None = None, batch_size: int = 32) -> Any:
    """A warm pipeline engine; on a CPU it gets the batches of a GPU too."""
    from model.checkpoint import find_checkpoint
    from model.engines.pipeline import PipelineEngine

    engine = PipelineEngine(
        find_checkpoint(str(folder)),
        device=device,
        batch_size=batch_size,
        threads=os.cpu_count() or 1,
        dtype=dtype,
        by_tokens=True,
    )
    engine.warm()
    return engine


def per_second(score: Callable[[list[str]], object], texts: Sequence[str], seconds: float) -> tuple[float, float]:
    """Texts per second in calls that take about half a second, like a job's chunks: the median of five calls, and their
    range.
    """
    count = 16
    while True:
        began = time.perf_counter()
        score(list(itertools.islice(itertools.cycle(texts), count)))
        took = time.perf_counter() - began
        if took > seconds / 4 or count >= 32_768:
            break
        count *= 2
    batch = list(itertools.islice(itertools.cycle(texts), max(1, min(65_536, int(count * seconds / took)))))
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        score(batch)
        rates.append(len(batch) / (time.perf_counter() - began))
    return round(statistics.median(rates), 1), round((max(rates) - min(rates)) / statistics.median(rates), 3)


def raw(folder: Path, device: str, dtype: str, batch_sizes: Sequence[int], *, quick: bool) -> dict[str, Any]:
    """Measures the engine alone: texts per second by kind of text and batch size, and one text at a time."""
    import torch

    samples = {
        kind: list(itertools.islice(supply(kind, 1), 200 if quick else 4000 if kind == "tweets" else 500))
        for kind in KINDS
    }
    found: dict[str, Any] = {}
    for batch_size in batch_sizes:
        engine = load(folder, device, dtype, batch_size)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        one: dict[str, Any] = {}
        for kind, texts in samples.items():
            one[kind] = dict(
                zip(("texts_per_s", "spread"), per_second(engine.score, texts, 0.1 if quick else 0.5), strict=True)
            )
        singles = []
        for text in samples["tweets"][: 20 if quick else 200]:
            began = time.perf_counter()
            engine.score([text])
            singles.append(1000 * (time.perf_counter() - began))
        one["one_tweet_ms"] = {
            "p50": round(statistics.median(singles), 2),
            "p95": round(statistics.quantiles(singles, n=20)[18], 2),
        }
        if device != "cpu":
            one["memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
        found[f"batch_size {batch_size}, {engine._max_cells} tokens"] = one
        if "tokenise" not in found:
            found["tokenise"] = {
                kind: per_second(engine._tokenise, texts, 0.1 if quick else 0.3)[0] for kind, texts in samples.items()
            }
        del engine
        _free()
    return found


def drift(folder: Path, device: str, dtypes: Sequence[str], count: int) -> dict[str, Any]:
    """How far each arithmetic's scores are from those of fp32, and a text's scores alone from those in a batch."""
    import numpy as np

    texts = [*itertools.islice(supply("tweets", 2), count), *itertools.islice(supply("long", 2), count // 10)]
    exact = load(folder, device, "float32").score(texts).probabilities
    found = {}
    for dtype in dtypes:
        engine = load(folder, device, dtype)
        scores = engine.score(texts).probabilities
        alone = np.concatenate([engine.score([text]).probabilities for text in texts])
        found[dtype] = {
            "from_fp32": {"largest": float(abs(scores - exact).max()), "mean": float(abs(scores - exact).mean())},
            "labels_differ": int((scores.argmax(1) != exact.argmax(1)).sum()),
            "alone_or_together": float(abs(scores - alone).max()),
            "texts": len(texts),
        }
    return found


def _timed(call: Callable[[], object], device: str, repeats: int) -> float:
    """The median time of a call in milliseconds; each call is waited for."""
    import torch

    times = []
    for _ in range(repeats + 3):
        began = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times[3:]), 3)


def faster(folder: Path, device: str, shapes: Sequence[tuple[int, int]], *, compiled: bool) -> dict[str, Any]:
    """Milliseconds of the forward pass at a few shapes: plain, with torch.compile, and as a CUDA graph. This shows
    whether these would pay.
    """
    import torch

    model = load(folder, device)._pipeline.model
    by_compiler = torch.compile(model, dynamic=False)

    def eager(inputs: dict[str, Any]) -> float:
        return _timed(lambda: model(**inputs), device, 20)

    def compiler(inputs: dict[str, Any]) -> dict[str, float]:
        began = time.perf_counter()
        by_compiler(**inputs)
        return {
            "first_s": round(time.perf_counter() - began, 1),
            "ms": _timed(lambda: by_compiler(**inputs), device, 20),
        }

    def graph(inputs: dict[str, Any]) -> float:
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            model(**inputs)
        return _timed(captured.replay, device, 20)

    # Last, because a capture that fails may leave the device unusable.
    ways = (
        {"eager": eager} | ({"compiled": compiler} if compiled else {}) | ({"graph": graph} if device != "cpu" else {})
    )
    found: dict[str, Any] = {}
    with torch.inference_mode():
        for (way, measure), (rows, length) in itertools.product(ways.items(), shapes):
            ids = torch.randint(5, 20_000, (rows, length), device=device)
            mask = torch.ones_like(ids)
            mask[0, length // 2 :] = 0  # without any padding, the model would use attention without a mask
            try:
                found.setdefault(way, {})[f"{rows}x{length}"] = measure({"input_ids": ids, "attention_mask": mask})
            except Exception as error:  # a compiler or driver may raise anything
                found[way][f"{rows}x{length}"] = _said(error)
    return found


def kernels(folder: Path, device: str) -> dict[str, Any]:
    """The kernels in which a call spends its time; they show whether attention is fused."""
    from torch.profiler import ProfilerActivity, profile

    engine = load(folder, device)
    texts = list(itertools.islice(supply("tweets", 3), 64 if device == "cpu" else 4096))
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device != "cpu" else [])]) as profiled:
        engine.score(texts)
    time_of = "self_cpu_time_total" if device == "cpu" else "self_device_time_total"
    events = sorted(profiled.key_averages(), key=lambda event: getattr(event, time_of), reverse=True)
    total = sum(getattr(event, time_of) for event in events)
    top = {event.key[:120]: round(getattr(event, time_of) / total, 3) for event in events[:12]}
    return {"attention": engine._pipeline.model.config._attn_implementation, "share_of_time": top}


def _call(port: int, callers: int, seconds: float, seed: int) -> tuple[list[float], dict[int, int]]:
    """Runs one process of callers; returns the seconds of each answer, and the statuses."""
    from benchmarks.services import Callers, Sentiq

    with tempfile.TemporaryDirectory() as folder:
        service = Sentiq(Path(folder))
        service.port = port
        with Callers(service, supply("tweets", seed), callers, 0) as calling:
            time.sleep(seconds)
        service.close()
    return calling.seconds, calling.statuses


def predict(port: int, callers: int, seconds: float, seed: int) -> dict[str, Any]:
    """Measures `/predict` with so many callers, each of which sends new texts one after the other."""
    # A single process of callers would be the bottleneck: Python uses one core for it.
    processes = max(1, min(callers, 8, (os.cpu_count() or 2) // 2))
    shares = [callers // processes + (n < callers % processes) for n in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.starmap(_call, [(port, share, seconds, 1000 * seed + n) for n, share in enumerate(shares)])
    times = sorted(1000 * second for seconds_, _ in parts for second in seconds_)
    statuses: dict[int, int] = {}
    for status, count in ((status, count) for _, found in parts for status, count in found.items()):
        statuses[status] = statuses.get(status, 0) + count
    cuts = statistics.quantiles(times, n=100)
    return {
        "per_s": round(len(times) / seconds, 1),
        "p50_ms": round(cuts[49], 2),
        "p95_ms": round(cuts[94], 2),
        "statuses": statuses,
    }


def stack(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Measures the whole service with this model in the pipeline engine: jobs, callers, and callers during a job."""
    from benchmarks.services import Sentiq

    seconds = 3.0 if quick else 8.0
    defaults = {
        "WEB_CONCURRENCY": str(max(2, min(8, (os.cpu_count() or 2) // 2))),
        "ENGINE": "pipeline",
        "MODEL_NAME": str(folder),
    }
    with tempfile.TemporaryDirectory(prefix="sentiq-") as data:
        sentiq = Sentiq(Path(data), **(defaults | {name: os.environ[name] for name in defaults if name in os.environ}))
        found: dict[str, Any] = {"start_s": round(sentiq.start(sentiq.is_ready), 1), "settings": defaults}
        try:
            workers = sentiq.ask("GET", "/health/ready")[1]["workers"]
            found["workers"] = [{key: worker[key] for key in ("role", "device", "texts_per_s")} for worker in workers]
            rate = max(worker["texts_per_s"] for worker in workers)
            texts = list(
                itertools.islice(supply("tweets", 4), 300 if quick else max(2000, min(200_000, int(rate * 15))))
            )
            began = time.perf_counter()
            job = sentiq.ended(sentiq.submit(texts))
            took = time.perf_counter() - began
            found["job"] = {
                "texts": len(texts),
                "failed": job["failed"],
                "texts_per_s": job["texts_per_s"],
                "from_submission": len(texts) / took,
            }
            for seed, callers in enumerate((1, 32) if quick else (1, 32, 256), 5):
                found[f"predict, {callers} callers"] = predict(sentiq.port, callers, seconds, seed)
            beside = sentiq.submit([f"{text} again" for text in texts])
            found["predict beside a job, 32 callers"] = predict(sentiq.port, 32, seconds, 9)
            found["job beside 32 callers"] = {"texts_per_s": sentiq.ended(beside)["texts_per_s"]}
            found["memory_mb"] = sentiq.resident_mb()
        finally:
            sentiq.close()
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="gets gpu.json")
    parser.add_argument(
        "--model", type=Path, help="a folder with a classifier, instead of random weights of RoBERTa-base's size"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="steps that would end later are skipped")
    parser.add_argument(
        "--quick", action="store_true", help="few texts and a small model: whether it runs, not how fast"
    )
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile on a CPU too, which takes a C++ compiler and minutes"
    )
    asked = parser.parse_args()
    import torch

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    gpu, quick = device != "cpu", asked.quick
    dtype = "bfloat16" if gpu else "float32"
    halves = ["bfloat16", "float16"] if gpu else ["bfloat16"]
    sizes = (4, 32) if quick or not gpu else (8, 32, 128, 512)
    shapes = [(1, 32), (32, 32), (512, 32), (32, 512)] if gpu else [(1, 32), (4, 64)]
    report = Report(asked.out, asked.minutes)
    report.step("machine", 0, machine)
    with tempfile.TemporaryDirectory(prefix="sentiq-model-") as built:
        models = {"minilm": DEFAULT, "roberta": asked.model or roberta(Path(built) / "roberta", small=quick)}
        # The most important steps come first: a borrowed GPU may be gone before the end.
        for name, folder in models.items():
            report.step(f"{name}, raw, {dtype}", 30, partial(raw, folder, device, dtype, sizes, quick=quick))
        for name, folder in models.items():
            report.step(f"{name}, service", 70, partial(stack, folder, quick=quick))
        report.step("minilm, drift", 20, partial(drift, DEFAULT, device, halves, 30 if quick else 500))
        for name, folder in models.items():
            report.step(f"{name}, kernels", 10, partial(kernels, folder, device))
            report.step(f"{name}, graphs", 45, partial(faster, folder, device, shapes, compiled=gpu or asked.compile))
        for other in ("float16", "float32") if gpu else ():
            for name, folder in models.items():
                report.step(f"{name}, raw, {other}", 15, partial(raw, folder, device, other, (32,), quick=quick))
    print(f"# all of it: {asked.out / 'gpu.json'}", file=sys.stderr)


if __name__ == "__main__":
    main()
