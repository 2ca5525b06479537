"""The engine on a compiled int8 graph: the embedded model on a CPU, by OpenVINO. Needs neither torch nor transformers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.batching import Group, cut, score_groups, shapes
from model.digests import read_manifest
from model.engine import Scores
from model.types import BoolArray, FloatArray

_Ids = NDArray[np.int32]

GRAPH_FILES = ("graph.xml", "graph.bin", "tokenizer.json")
"""What the engine reads from its folder, apart from `manifest.json`."""


class CompiledEngine:
    """Scores with `graph.xml`, whose inputs are `input_ids` and `attention_mask` and whose output is class probabilities.

    Its answers do not depend on a text's companions in the batch: the scales of the int8 arithmetic are constants of the graph.
    """

    def __init__(self, folder: Path, *, threads: int, batch_size: int, name: str = "default") -> None:
        """Loads the graph from a folder.

        Args:
            folder: holds `GRAPH_FILES` and `manifest.json`.
            threads: processor threads of one scoring call.
            batch_size: most texts in one call of the graph.
            name: the first part of the identity.

        Raises:
            ModelNotFound: a file is missing.
            ModelRefused: a file is not the one that the manifest lists.
        """
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
                "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": threads,
                # Pinned threads of two processes land on the same core.
                "ENABLE_CPU_PINNING": False,
                # Else processors with bf16 or fp16 arithmetic would give other scores under the same identity.
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self._local = threading.local()

    @property
    def identity(self) -> str:
        """`name@digest of the files/compiled`."""
        return self._identity

    @property
    def device(self) -> str:
        """Always `cpu`."""
        return "cpu"

    def warm(self) -> None:
        """Runs every shape that scoring will meet once; the largest first, so that memory is claimed once."""
        for batch, length in sorted(self._shapes.all(), key=lambda shape: shape[0] * shape[1], reverse=True):
            self._infer(np.ones((batch, length), np.int32), np.ones((batch, length), np.int32))

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`."""
        ids, truncated = self._tokenise(texts)

        def score(group: Group) -> FloatArray:
            input_ids = np.zeros((group.batch, group.length), np.int32)
            mask = np.zeros((group.batch, group.length), np.int32)
            # A row without any token to look at would be not-a-number; padded rows look at one.
            mask[:, 0] = 1
            for i, row in enumerate(group.rows):
                input_ids[i, : len(ids[row])] = ids[row]
                mask[i, : len(ids[row])] = 1
            return self._infer(input_ids, mask)

        groups = self._shapes.plan([len(row) for row in ids])
        return Scores(score_groups(groups, len(texts), score), truncated)

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], BoolArray]:
        """Token ids of each text, at most `max_tokens`, and which texts were longer."""
        windows = [cut(text, self._max_tokens) for text in texts]
        encodings = self._tokenizer.encode_batch_fast([window for window, _ in windows])
        longer = [was_cut or bool(encoding.overflowing) for (_, was_cut), encoding in zip(windows, encodings, strict=True)]
        return [encoding.ids for encoding in encodings], np.array(longer, dtype=np.bool_)

    def _infer(self, input_ids: _Ids, mask: _Ids) -> FloatArray:
        """Class probabilities of one batch, shape (batch, 3); each thread has an inference request of its own."""
        if not hasattr(self._local, "request"):
            self._local.request = self._graph.create_infer_request()
        outputs = self._local.request.infer([input_ids, mask], share_inputs=True)
        return np.array(outputs[0], dtype=np.float32)
