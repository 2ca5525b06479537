"""The engine on a compiled int8 graph: the embedded model on a CPU, by OpenVINO. Needs neither torch nor
transformers.
"""

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
from model.digests import read_manifest
from model.engine import Scores, Work
from model.engines.batching import Group, cut, shapes
from model.errors import ModelRefused
from model.labels import SENTIMENT
from model.types import BoolArray, FloatArray

_Ids = NDArray[np.int32]

GRAPH_FILES = ("graph.xml", "graph.bin", "tokenizer.json")
"""What the engine reads from its folder, apart from `manifest.json`."""
_PART_TEXTS = 64
"""Texts tokenised at once: enough to fill a few groups, and few enough that the first are scored soon."""


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CompiledEngine:
    """Scores with `graph.xml`, whose inputs are `input_ids` and `attention_mask` and whose output is class
    probabilities.

    Its answers do not depend on a text's companions in the batch: the scales of the int8 arithmetic are constants of
    the graph.
    """

    def __init__(
        self, folder: Path, *, threads: int, batch_size: int, name: str = "default", analysis: Analysis = SENTIMENT
    ) -> None:
        """Loads the graph from a folder.

        Args:
            folder: holds `GRAPH_FILES` and `manifest.json`.
            threads: processor threads: so many micro-batches run at once, each on one; 0 for one a core.
            batch_size: most texts in one call of the graph.
            name: the first part of the identity.
            analysis: what the graph answers.

        Raises:
            ModelNotFound: a file is missing.
            ModelRefused: a file is not the one that the manifest lists, or the graph has other classes.
        """
        threads = threads or _cores()
        manifest = read_manifest(folder)
        self._identity = f"{name}@{manifest.verified(folder, GRAPH_FILES)}/compiled"
        self._max_tokens = manifest.max_tokens
        self._shapes = shapes(batch_size, manifest.max_tokens)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Set once and never again: a tokenizer that is changed while another thread uses it raises "Already borrowed".
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(manifest.max_tokens)
        self._graph = openvino.Core().compile_model(
            folder / "graph.xml",
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                # One thread a micro-batch. Several threads on one wait for each other in the midst of it:
                # docs/engines.md has figures.
                "NUM_STREAMS": threads,
                "INFERENCE_NUM_THREADS": threads,
                # Pinned threads of two processes land on the same core.
                "ENABLE_CPU_PINNING": False,
                # Else processors with bf16 or fp16 arithmetic would give other scores under the same identity.
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self._analysis = analysis
        classes = self._graph.output(0).partial_shape[-1]
        if classes.is_static and classes.get_length() != len(analysis.classes):
            raise ModelRefused(
                f"{folder} has {classes.get_length()} classes,"
                f" but the analysis {analysis.name} has {len(analysis.classes)}"
            )
        self._threads = threads
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        # Twice the threads: each has the next group at hand while this one's answer is fetched.
        for _ in range(2 * threads):
            self._idle.put(self._graph.create_infer_request())

    @property
    def analysis(self) -> Analysis:
        """As given."""
        return self._analysis

    @property
    def identity(self) -> str:
        """`name@digest of the files/compiled`."""
        return self._identity

    @property
    def device(self) -> str:
        """Always `cpu`."""
        return "cpu"

    def warm(self) -> None:
        """Runs every shape that scoring will meet, on all threads at once; the largest first, so that memory is claimed
        once.
        """
        for batch, length in sorted(self._shapes.all(), key=lambda shape: shape[0] * shape[1], reverse=True):
            group = Group(tuple(range(batch)), batch, length)
            self._infer([(group, _laid(group, [[1] * length] * batch))] * self._threads, batch)

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`."""
        truncated = np.zeros(len(texts), np.bool_)
        work = Work()
        return Scores(self._infer(self._groups(texts, truncated, work), len(texts)), truncated, work)

    def _groups(self, texts: Sequence[str], truncated: BoolArray, work: Work) -> Iterator[tuple[Group, list[_Ids]]]:
        """Each group and its inputs; while some are scored, the next texts are tokenised. Marks the texts that were
        cut, and counts.
        """
        # Of similar length together: there is less to pad.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
        for start in range(0, len(order), _PART_TEXTS):
            rows = order[start : start + _PART_TEXTS]
            ids, truncated[rows] = self._tokenise([texts[row] for row in rows])
            # The largest first: what is left for the end is small, so that all threads end at about the same time.
            for group in reversed(
                self._shapes.plan([len(row) for row in ids], parts=self._idle.qsize() - self._threads)
            ):
                laid = _laid(group, [ids[i] for i in group.rows])
                work.add(len(group.rows), sum(len(ids[i]) for i in group.rows), group.batch * group.length)
                yield Group(tuple(rows[i] for i in group.rows), group.batch, group.length), laid

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], BoolArray]:
        """Token ids of each text, at most `max_tokens`, and which texts were longer."""
        windows = [cut(text, self._max_tokens) for text in texts]
        encodings = self._tokenizer.encode_batch_fast([window for window, _ in windows])
        longer = [
            was_cut or bool(encoding.overflowing) for (_, was_cut), encoding in zip(windows, encodings, strict=True)
        ]
        return [encoding.ids for encoding in encodings], np.array(longer, dtype=np.bool_)

    def _infer(self, groups: Iterable[tuple[Group, list[_Ids]]], count: int) -> FloatArray:
        """Class probabilities of each text, shape (count, classes); as many groups at once as there are threads."""
        out = np.full((count, len(self._analysis.classes)), np.nan, dtype=np.float32)
        running: deque[tuple[Group, Any, object]] = deque()

        def collect() -> openvino.InferRequest:
            group, request, _ = running.popleft()
            try:
                request.wait()
                out[list(group.rows)] = request.get_output_tensor(0).data[: len(group.rows)]
            except BaseException:  # whatever ends this call, the next one needs the request
                self._idle.put(request)
                raise
            return request

        try:
            for group, inputs in groups:
                try:
                    request = self._idle.get_nowait()
                except Empty:
                    # Whoever has something running waits for that: two who waited for each other's requests would wait
                    # for ever.
                    request = collect() if running else self._idle.get()
                running.append((group, request, inputs))
                request.start_async(inputs, share_inputs=True)
            while running:
                self._idle.put(collect())
        except BaseException:  # likewise
            for _, request, _ in running:
                with contextlib.suppress(RuntimeError):
                    request.wait()  # nobody may take it while it runs
                self._idle.put(request)
            raise
        return out


def _laid(group: Group, ids: Sequence[Sequence[int]]) -> list[_Ids]:
    """Token ids and attention mask of a group's texts, each of shape (batch, length)."""
    input_ids = np.zeros((group.batch, group.length), np.int32)
    mask = np.zeros((group.batch, group.length), np.int32)
    # A row without any token to look at would be not-a-number; padded rows look at one.
    mask[:, 0] = 1
    for i, row in enumerate(ids):
        input_ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return [input_ids, mask]
