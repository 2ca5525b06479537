"""The compiled engine: an int8 graph on a CPU, run by OpenVINO. It needs neither torch nor transformers."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.analysis import Analysis
from model.description import Description
from model.digests import read_manifest
from model.engine import Scores, Work
from model.engines.batching import Group, cut, shapes
from model.errors import ModelRefused
from model.labels import SENTIMENT
from model.types import BoolArray, FloatArray

_Ids = NDArray[np.int32]

GRAPH_FILES = ("graph.xml", "graph.bin", "tokenizer.json")
"""The files that the engine reads from its folder, besides `manifest.json`."""
_PART_TEXTS = 64
"""Texts tokenised at a time: enough to fill a few groups, and few enough that scoring begins soon."""


_SMALL_CHARS = 1000
"""Texts of at most this many characters in all are a call of about one micro-batch."""


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CompiledEngine:
    """Scores with an OpenVINO graph that maps `input_ids` and `attention_mask` to class probabilities.

    A text's scores do not depend on the other texts in its batch: the scales of the int8 arithmetic are constants of
    the graph.
    """

    def __init__(
        self, folder: Path, *, threads: int, batch_size: int, name: str = "default", analysis: Analysis = SENTIMENT
    ) -> None:
        """Loads the graph from a folder.

        Args:
            folder: holds `GRAPH_FILES` and `manifest.json`.
            threads: processor threads; this many micro-batches run in parallel, one on each. 0 means one per core.
            batch_size: the most texts in one call of the graph.
            name: the first part of the identity.
            analysis: the analysis that the graph performs.

        Raises:
            ModelNotFound: a file is missing.
            ModelRefused: a file differs from the manifest, or the graph has another number of classes.
        """
        threads = threads or _cores()
        manifest = read_manifest(folder)
        self.analysis = analysis
        self.identity = f"{name}@{manifest.verified(folder, GRAPH_FILES)}/compiled{analysis.suffix}"
        """`name@digest of the files/compiled`, and the analysis if it is not sentiment."""
        self.device = "cpu"
        self.description = Description(
            # An exported model's temperature is part of its weights.
            "int8",
            analysis.classes,
            analysis.classes,
            calibrated=True,
            max_tokens=manifest.max_tokens,
        )
        self._max_tokens = manifest.max_tokens
        self._shapes = shapes(batch_size, manifest.max_tokens)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Set once and for all: a tokenizer that is changed while another thread uses it raises "Already borrowed".
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(manifest.max_tokens)
        self._graph = openvino.Core().compile_model(
            folder / "graph.xml",
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                # One thread for each micro-batch: several threads on the same one wait for each other in the middle of
                # it (figures in docs/engines.md).
                "NUM_STREAMS": threads,
                "INFERENCE_NUM_THREADS": threads,
                # With pinning, the threads of two processes end up on the same core.
                "ENABLE_CPU_PINNING": False,
                # Otherwise processors with bf16 or fp16 arithmetic give other scores under the same identity.
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        classes = self._graph.output(0).partial_shape[-1]
        if classes.is_static and classes.get_length() != len(analysis.classes):
            raise ModelRefused(
                f"{folder} has {classes.get_length()} classes,"
                f" but the analysis {analysis.name} has {len(analysis.classes)}"
            )
        self._threads = threads
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        # Two requests for each thread: the next group is ready while the result of the previous one is collected.
        for _ in range(2 * threads):
            self._idle.put(self._graph.create_infer_request())
        # A large call keeps its requests to its end; a small one need not wait for that.
        self._reserve: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        self._reserve.put(self._graph.create_infer_request())

    def warm(self) -> None:
        """Runs every input shape on all threads, the largest first so that memory is allocated only once."""
        for batch, length in sorted(self._shapes.all(), key=lambda shape: shape[0] * shape[1], reverse=True):
            group = Group(tuple(range(batch)), batch, length)
            self._infer([(group, _laid(group, [[1] * length] * batch))] * self._threads, batch)

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`."""
        truncated = np.zeros(len(texts), np.bool_)
        work = Work()
        small = sum(map(len, texts)) <= _SMALL_CHARS
        return Scores(self._infer(self._groups(texts, truncated, work), len(texts), small=small), truncated, work)

    def _groups(self, texts: Sequence[str], truncated: BoolArray, work: Work) -> Iterator[tuple[Group, list[_Ids]]]:
        """Groups with their inputs, made as they are needed: the next texts are tokenised while others are scored.

        Fills in `truncated` and `work`.
        """
        # Texts of similar length together need less padding.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
        for start in range(0, len(order), _PART_TEXTS):
            rows = order[start : start + _PART_TEXTS]
            ids, truncated[rows] = self._tokenise([texts[row] for row in rows])
            # The largest first: the small ones at the end let all threads finish at about the same time.
            for group in reversed(
                self._shapes.plan([len(row) for row in ids], parts=self._idle.qsize() - self._threads)
            ):
                laid = _laid(group, [ids[i] for i in group.rows])
                work.add(len(group.rows), sum(len(ids[i]) for i in group.rows), group.batch * group.length)
                yield Group(tuple(rows[i] for i in group.rows), group.batch, group.length), laid

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], BoolArray]:
        """The token ids of each text, at most `max_tokens`, and which texts were longer."""
        windows = [cut(text, self._max_tokens) for text in texts]
        encodings = self._tokenizer.encode_batch_fast([window for window, _ in windows])
        longer = [
            was_cut or bool(encoding.overflowing) for (_, was_cut), encoding in zip(windows, encodings, strict=True)
        ]
        return [encoding.ids for encoding in encodings], np.array(longer, dtype=np.bool_)

    def _infer(self, groups: Iterable[tuple[Group, list[_Ids]]], count: int, *, small: bool = False) -> FloatArray:
        """Class probabilities, shape (count, classes); as many groups run in parallel as there are threads."""
        out = np.full((count, len(self.analysis.classes)), np.nan, dtype=np.float32)
        idle = self._reserve if small and self._idle.empty() else self._idle
        running: deque[tuple[Group, Any, object]] = deque()

        def collect() -> openvino.InferRequest:
            group, request, _ = running.popleft()
            try:
                request.wait()
                out[list(group.rows)] = request.get_output_tensor(0).data[: len(group.rows)]
            except BaseException:  # of any kind: later calls need the request back
                idle.put(request)
                raise
            return request

        try:
            for group, inputs in groups:
                try:
                    request = idle.get_nowait()
                except Empty:
                    # A call with running requests waits for its own: two calls that wait for each other's requests
                    # would be a deadlock.
                    request = collect() if running else idle.get()
                running.append((group, request, inputs))
                request.start_async(inputs, share_inputs=True)
            while running:
                idle.put(collect())
        except BaseException:  # of any kind, as above
            for _, request, _ in running:
                with contextlib.suppress(RuntimeError):
                    request.wait()  # a running request must not be used by another call
                idle.put(request)
            raise
        return out


def _laid(group: Group, ids: Sequence[Sequence[int]]) -> list[_Ids]:
    """The padded token ids and the attention mask of a group's texts, each of shape (batch, length)."""
    input_ids = np.zeros((group.batch, group.length), np.int32)
    mask = np.zeros((group.batch, group.length), np.int32)
    # A row whose mask is all zeros yields not-a-number, so rows of padding attend to one token.
    mask[:, 0] = 1
    for i, row in enumerate(ids):
        input_ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return [input_ids, mask]
