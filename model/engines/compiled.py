"""The compiled engine: a graph on a CPU, run by OpenVINO, mostly in int8. It needs neither torch nor transformers."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.analysis import Analysis
from model.artefacts import Artefact
from model.description import Description
from model.digests import Usage, read_manifest
from model.engine import Scores, Work
from model.engines.batching import Group, cut, shapes
from model.engines.unread import Unread
from model.errors import ModelRefused
from model.labels import SENTIMENT
from model.reading import reader
from model.types import BoolArray, FloatArray

_Ids = NDArray[np.int32]

GRAPH_FILES = ("graph.xml", "graph.bin", "tokenizer.json")
"""The files that the engine reads from its folder, besides `manifest.json`."""
_MASK, _TYPES = "attention_mask", "token_type_ids"
_UNKNOWN = ("[UNK]", "<unk>")
"""The usual names of the token for unknown words; those of Unigram do not say theirs."""
_PART_TEXTS = 64
"""Texts tokenised at a time: enough to fill a few groups, and few enough that scoring begins soon."""


_SMALL_CHARS = 1000
"""Texts of at most this many characters in all are a small call, of about one micro-batch."""
_SMALL_AGAIN_S = 1.0
"""Seconds for which another small call is expected after one."""
_WARM_S = 1.0
"""The most seconds, of each thread, that warming takes."""
_LONG = 128
"""The length from which a group takes so long that it is no loss if the next one is not ready at its end."""


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CompiledEngine:
    """Scores with an OpenVINO graph that maps token ids to class probabilities or logits: see `model.digests.Usage`.

    A text's scores do not depend on the other texts in its batch: the scales of the int8 arithmetic are constants of
    the graph.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int,
        batch_size: int,
        name: str = "default",
        analysis: Analysis = SENTIMENT,
        version: str = "",
        suffix: str | None = None,
        artefact: Artefact | None = None,
    ) -> None:
        """Loads the graph from a folder.

        Args:
            folder: holds `GRAPH_FILES` and `manifest.json`.
            threads: processor threads; this many micro-batches run in parallel, one on each. 0 means one per core.
            batch_size: the most texts in one call of the graph.
            name: the first part of the identity.
            analysis: the analysis that the graph performs.
            version: of the checkpoint that the graph was compiled from; part of the identity.
            suffix: the end of the identity; by default that of the analysis.
            artefact: what is in the folder, if that was found and verified; it is held as long as the engine lives.

        Raises:
            ModelNotFound: a file is missing.
            ModelRefused: a file differs from the manifest, or the graph has another number of classes.
        """
        threads = threads or cores()
        manifest = read_manifest(folder) if artefact is None else artefact.manifest
        usage = manifest.usage
        described = manifest.description or Description(
            form="int8",
            names=analysis.classes,
            mapped=analysis.classes,
            calibrated=True,
            max_tokens=manifest.max_tokens,
        )
        self.analysis = analysis
        self.description = described
        digest = manifest.verified(folder, GRAPH_FILES) if artefact is None else artefact.digest
        compiled_here = "" if manifest.description is None else f"-{described.form}"
        suffix = analysis.suffix if suffix is None else suffix
        self.identity = f"{name}@{version}{'-' if version else ''}{digest}/compiled{compiled_here}{suffix}"
        """`name@digest of the files/compiled`, and the analysis if it is not sentiment; for a checkpoint that was
        compiled, `name@version-digest/compiled-form` and what is unusual."""
        self.device = "cpu"
        self._artefact = artefact
        self._usage = usage
        self._matrix = np.array(usage.matrix, dtype=np.float32)
        self._max_tokens = manifest.max_tokens
        self._shapes = shapes(batch_size, manifest.max_tokens, own_lengths=usage.own_lengths)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Set once and for all: a tokenizer that is changed while another thread uses it raises "Already borrowed".
        self._tokenizer.no_padding()
        self._read = reader(manifest.reading, self._knows, self._tokenizer.get_vocab)
        kept = (self._tokenizer.truncation or {}).get("direction", "right")
        self._tokenizer.enable_truncation(manifest.max_tokens, direction=kept)
        self._unread = _unread(self._tokenizer)
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
                "INFERENCE_PRECISION_HINT": usage.precision,
            },
        )
        classes = self._graph.output(0).partial_shape[-1]
        if usage.logits and self._matrix.shape[1:] != (len(analysis.classes),):
            raise ModelRefused(f"{folder} was not compiled for the analysis {analysis.name}")
        expected = len(self._matrix) if usage.logits else len(analysis.classes)
        if classes.is_static and classes.get_length() != expected:
            raise ModelRefused(
                f"{folder} has {classes.get_length()} classes,"
                + (
                    f" but its manifest has {expected}"
                    if usage.logits
                    else f" but the analysis {analysis.name} has {expected}"
                )
            )
        self._threads = threads
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        # One more than threads: a group is ready when a thread has done one. With two more, texts are scored no faster,
        # and a small call has to wait for those, too.
        for _ in range(threads + 1):
            self._idle.put(self._graph.create_infer_request())
        self._small_at = -math.inf
        """When a small call last came while others were running."""
        # A large call keeps its requests to its end; a small one need not wait for that.
        self._reserve: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        self._reserve.put(self._graph.create_infer_request())

    def warm(self) -> None:
        """Runs input shapes on all threads, the largest first so that memory is allocated only once, and then those of
        few tokens before those of many, for at most `_WARM_S`.

        With a slow model, shapes of many tokens are left: their first call takes a tenth longer than the next ones.
        """
        smallest = sorted(self._shapes.all(), key=lambda shape: shape[0] * shape[1])
        began = time.process_time()  # not the clock's: a busy machine warms no fewer
        for batch, length in (smallest[-1], *smallest[:-1]):
            if time.process_time() - began > _WARM_S * self._threads:
                return
            group = Group(tuple(range(batch)), batch, length)
            rows = dict.fromkeys(self._usage.inputs, [[1] * length] * batch)
            self._infer([(group, _laid(self._usage, group, rows))] * self._threads, batch)

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `model.engine.Engine`."""
        texts = list(texts) if self._read is None else list(map(self._read, texts))
        # What does not fit comes in parts of its own.
        return [
            len(encoding.ids) + sum(len(more.ids) for more in encoding.overflowing)
            for encoding in self._tokenizer.encode_batch_fast(texts)
        ]

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`."""
        truncated, unread = np.zeros(len(texts), np.bool_), np.zeros(len(texts), np.bool_)
        work = Work()
        small = sum(map(len, texts)) <= _SMALL_CHARS
        groups = self._groups(texts, truncated, unread, work)
        return Scores(self._infer(groups, len(texts), small=small), truncated, work, unread)

    def _groups(
        self, texts: Sequence[str], truncated: BoolArray, unread: BoolArray, work: Work
    ) -> Iterator[tuple[Group, list[_Ids]]]:
        """Groups with their inputs, made as they are needed: the next texts are tokenised while others are scored.

        Fills in `truncated`, `unread` and `work`.
        """
        # Texts of similar length together need less padding.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
        for start in range(0, len(order), _PART_TEXTS):
            rows = order[start : start + _PART_TEXTS]
            columns, truncated[rows] = self._tokenise([texts[row] for row in rows])
            ids = columns["input_ids"]
            unread[rows] = list(map(self._unread, ids))
            # The largest first: the small ones at the end let all threads finish at about the same time.
            for group in reversed(
                self._shapes.plan([len(row) for row in ids], parts=min(self._idle.qsize(), self._threads))
            ):
                laid = _laid(
                    self._usage, group, {name: [column[i] for i in group.rows] for name, column in columns.items()}
                )
                work.add(len(group.rows), sum(len(ids[i]) for i in group.rows), group.batch * group.length)
                yield Group(tuple(rows[i] for i in group.rows), group.batch, group.length), laid

    def _tokenise(self, texts: Sequence[str]) -> tuple[dict[str, list[list[int]]], BoolArray]:
        """The graph's inputs but the mask, for each text at most `max_tokens`; and which texts were longer."""
        if self._read is not None:
            texts = list(map(self._read, texts))
        windows = [cut(text, self._max_tokens) for text in texts]
        encodings = self._tokenizer.encode_batch_fast([window for window, _ in windows])
        longer = [
            was_cut or bool(encoding.overflowing) for (_, was_cut), encoding in zip(windows, encodings, strict=True)
        ]
        columns = {"input_ids": [encoding.ids for encoding in encodings]}
        if _TYPES in self._usage.inputs:
            columns[_TYPES] = [encoding.type_ids for encoding in encodings]
        return columns, np.array(longer, dtype=np.bool_)

    def _knows(self, sign: str) -> bool:
        return self._tokenizer.token_to_id(sign) is not None

    def _infer(self, groups: Iterable[tuple[Group, list[_Ids]]], count: int, *, small: bool = False) -> FloatArray:
        """Class probabilities, shape (count, classes); as many groups run in parallel as there are threads."""
        out = np.full((count, len(self.analysis.classes)), np.nan, dtype=np.float32)
        idle = self._idle
        if small:
            if idle.qsize() <= self._threads:
                self._small_at = time.monotonic()
            idle = self._reserve if idle.empty() else idle
        running: deque[tuple[Group, Any, object]] = deque()

        def collect() -> openvino.InferRequest:
            group, request, _ = running.popleft()
            try:
                request.wait()
                found = request.get_output_tensor(0).data[: len(group.rows)]
                out[list(group.rows)] = self._probabilities(found) if self._usage.logits else found
            except BaseException:  # of any kind: later calls need the request back
                idle.put(request)
                raise
            return request

        try:
            for group, inputs in groups:
                request = None
                while request is None:
                    if not running:
                        request = idle.get()
                    elif idle.qsize() > self._kept_free(group):
                        with contextlib.suppress(Empty):
                            request = idle.get_nowait()
                    else:
                        # A call with running requests waits for its own: two calls that wait for each other's requests
                        # would be a deadlock.
                        idle.put(collect())
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

    def _kept_free(self, group: Group) -> int:
        """How many requests a call with this group leaves to others.

        While small calls come, long texts do without the group that is ready: a small call would have to wait for it.
        """
        return int(group.length >= _LONG and time.monotonic() - self._small_at < _SMALL_AGAIN_S)

    def _probabilities(self, logits: FloatArray) -> FloatArray:
        """The graph's outputs as probabilities of the analysis's classes, shape (rows, classes).

        Raises:
            FloatingPointError: they are not finite numbers.
        """
        if not np.isfinite(logits).all():
            raise FloatingPointError("the model's outputs are not finite numbers")
        scaled = logits / self._usage.temperature
        raised = np.exp(scaled - scaled.max(-1, keepdims=True))
        probabilities: FloatArray = (raised / raised.sum(-1, keepdims=True)) @ self._matrix
        return probabilities


def _unread(tokenizer: Tokenizer) -> Unread:
    """What tells texts of which the tokenizer knows no word."""
    ids = (tokenizer.token_to_id(name) for name in (getattr(tokenizer.model, "unk_token", None), *_UNKNOWN) if name)
    special = [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    return Unread(next((found for found in ids if found is not None), None), special, tokenizer.id_to_token)


def _laid(usage: Usage, group: Group, rows: Mapping[str, Sequence[Sequence[int]]]) -> list[_Ids]:
    """The graph's inputs for a group's texts, padded, each of shape (batch, length)."""
    ids = rows["input_ids"]
    ends = [slice(group.length - len(row), None) if usage.pad_left else slice(len(row)) for row in ids]
    laid = []
    for name, filling in zip(usage.inputs, usage.padding, strict=True):
        array = np.full((group.batch, group.length), filling, np.int32)
        if name == _MASK:
            # A row whose mask is all zeros yields not-a-number, so rows of padding attend to one token.
            array[:, -1 if usage.pad_left else 0] = 1
            for line, end in zip(array, ends, strict=False):
                line[end] = 1
        else:
            for line, end, row in zip(array, ends, rows[name], strict=False):
                line[end] = row
        laid.append(array)
    return laid
