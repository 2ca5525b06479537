"""The pipeline engine: any text-classification model of transformers, run by torch on a CPU or a GPU."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import transformers

from model.checkpoint import Checkpoint, Loaded, load
from model.engine import Scores, Work
from model.engines.batching import cut, sorted_groups
from model.engines.unread import Unread
from model.errors import ModelRefused
from model.reading import reader
from model.types import BoolArray, FloatArray

LENGTH_STEP = 8
"""Batches measured in tokens are padded to multiples of this length.

For other lengths, attention on a GPU copies the mask (`preprocess_mask` in PyTorch's `scaled_dot_product_attention`).
"""
MOST_ROWS = 32_768
"""The most texts in a batch measured in tokens: attention on a GPU fails from 65,536 on (pytorch#146704)."""
CPU_CELLS = 1024
"""The most tokens, including padding, of a batch of several texts on a CPU: with a long text, many short ones would be
padded to its length. Larger batches are not faster."""
CHARS_AHEAD = 8
"""Characters tokenised at a time for each token of a batch: enough for about two batches of English text."""

T = TypeVar("T")
_Inputs = dict[str, torch.Tensor]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some texts of a call, tokenised and divided into micro-batches."""

    positions: Sequence[int]
    """The positions of the texts in the caller's order."""
    truncated: BoolArray
    """Which of the texts at `positions` were truncated."""
    unread: list[bool]
    """Of which of them the model knows no word."""
    batches: list[tuple[list[int], _Inputs]]
    """For each micro-batch, the positions of its texts and the model's inputs: padded, in main memory."""
    tokens: list[int]
    """For each micro-batch, the number of tokens of its texts, without padding."""


class PipelineEngine:
    """Scores with a sequence classification model whose classes can be mapped to those of the analysis.

    Weights load from safetensors only, and code that comes with a model is never run. On a CPU the engine computes in
    fp32, in batches of a number of texts; on a GPU in bf16 (fp16 where the GPU has no bf16), in batches of a
    fixed number of tokens: see docs/gpu.md.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        batch_size: int,
        threads: int,
        dtype: str | None = None,
        by_tokens: bool | None = None,
        loaded: Loaded | None = None,
    ) -> None:
        """Loads the model.

        Args:
            checkpoint: the model.
            device: `cpu` or `cuda:N`.
            batch_size: the most texts in one call of the model; where batches are measured in tokens, the number of
                texts of full length that a batch may hold (or more, if they are shorter).
            threads: processor threads on a CPU, 0 for one per core. The setting is torch's and holds for the whole
                process, so the engine that is loaded last decides.
            dtype: the arithmetic, as `model.checkpoint.load` takes it; by default what suits the device.
            by_tokens: whether batches are measured in tokens instead of texts; by default on a GPU only.
            loaded: the checkpoint in memory, if it is there already.

        Raises:
            MissingHead: the checkpoint lacks weights of the model.
            ModelRefused: see `model.checkpoint.load`.
        """
        if not sys.stderr.isatty():
            transformers.utils.logging.disable_progress_bar()
        if device == "cpu" and threads:
            torch.set_num_threads(threads)
        self.device = device
        self.analysis = checkpoint.classes.analysis
        self._batch_size = batch_size
        loaded = loaded or load(checkpoint, dtype=dtype or _arithmetic(device))
        tokenizer, model = loaded.tokenizer, loaded.model
        self._matrix = checkpoint.classes.matrix
        self._temperature = checkpoint.temperature or 1.0
        self._tokenizer, self._inputs = tokenizer, loaded.inputs
        known = tokenizer.get_vocab() if checkpoint.reading else {}
        self._read = reader(checkpoint.reading, known.__contains__, lambda: known)
        self._unread = Unread(tokenizer.unk_token_id, tokenizer.all_special_ids, tokenizer.convert_ids_to_tokens)
        # transformers switches truncation on and off inside the tokenizer: without the lock, a thread's texts could be
        # cut by the setting of another thread, or raise "Already borrowed".
        self._tokenizing = threading.Lock()
        self._max_tokens = loaded.max_tokens
        by_tokens = device != "cpu" if by_tokens is None else by_tokens
        # The most tokens of a batch, including padding; lowered when a batch does not fit into memory.
        self._max_cells = batch_size * self._max_tokens if by_tokens else None
        self._pipeline = transformers.pipeline(
            "text-classification", model=model, tokenizer=tokenizer, device=torch.device(device), top_k=None
        )
        form = {torch.float32: "pipeline", torch.float16: "pipeline-fp16", torch.bfloat16: "pipeline-bf16"}[model.dtype]
        self.identity = f"{checkpoint.name}@{checkpoint.version}/{form}{checkpoint.suffix}"
        """`name@commit or digest/pipeline`, and what is unusual: arithmetic, a digest of the label map, analysis."""
        self.description = checkpoint.description(form, loaded.max_tokens)

    def warm(self) -> None:
        """Runs a single row and a full batch.

        Where batches are measured in tokens, it does so at several lengths, the longest first so that memory is
        allocated only once.

        Raises:
            ModelRefused: the model overflows in this arithmetic.
        """
        (row,), _ = self._tokenise(["a"])
        lengths = (self._max_tokens, 64, LENGTH_STEP) if self._max_cells is not None else (64,)
        for length in (min(length, self._max_tokens) for length in lengths):
            for batch in (self._most_rows(length), 1):
                inputs = self._padded([row] * batch, length)
                try:
                    self._probabilities(self._logits(inputs))
                except FloatingPointError as error:
                    raise ModelRefused(f"{self.identity}: {error}; run it on the CPU (DEVICE=cpu)") from error

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `model.engine.Engine`."""
        if not texts:  # the tokenizer would fail
            return []
        texts = list(texts) if self._read is None else list(map(self._read, texts))
        with self._tokenizing:
            columns = self._tokenizer(texts, truncation=False, verbose=False, return_attention_mask=False)
        return [len(ids) for ids in columns["input_ids"]]

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`.

        Raises:
            FloatingPointError: the model's outputs are not finite numbers.
            torch.OutOfMemoryError: even a single text does not fit into the GPU's memory.
        """
        if not texts:
            return Scores(np.empty((0, len(self.analysis.classes)), np.float32), np.empty(0, np.bool_))
        truncated, unread = np.empty(len(texts), np.bool_), np.empty(len(texts), np.bool_)
        positions: list[int] = []
        logits: list[torch.Tensor] = []
        work = Work()
        for part in self._parts(texts):
            truncated[part.positions], unread[part.positions] = part.truncated, part.unread
            for (rows, inputs), tokens in zip(part.batches, part.tokens, strict=True):
                positions += rows
                logits.append(self._logits(inputs))
                work.add(len(rows), tokens, inputs["input_ids"].numel())
        probabilities = np.full((len(texts), len(self.analysis.classes)), np.nan, np.float32)
        # The only wait for the GPU in a call: until here, work was only queued.
        probabilities[positions] = self._probabilities(torch.cat(logits))
        return Scores(probabilities, truncated, work, unread)

    def _parts(self, texts: Sequence[str]) -> Iterator[_Part]:
        """Divides the texts into parts.

        Where batches are measured in tokens, the longest texts come first, and the next part is tokenised while the
        model works on the previous one; otherwise there is one part.
        """
        if self._max_cells is None:
            yield self._part(texts, range(len(texts)))
            return
        chars = np.array([len(text) for text in texts])
        order = np.argsort(-chars, kind="stable")
        # Of a long text, only what is read counts.
        sizes = np.minimum(chars, CHARS_AHEAD * self._max_tokens)[order].cumsum() // (CHARS_AHEAD * self._max_cells)
        parts = np.split(order, np.flatnonzero(np.diff(sizes)) + 1)
        made = (self._part(texts, part.tolist()) for part in parts)
        yield from ahead(made) if len(parts) > 1 else made

    def _part(self, texts: Sequence[str], positions: Sequence[int]) -> _Part:
        rows, truncated = self._tokenise([texts[position] for position in positions])
        lengths = [len(row["input_ids"]) for row in rows]
        if self._max_cells is not None:
            lengths = [min(-(-length // LENGTH_STEP) * LENGTH_STEP, self._max_tokens) for length in lengths]
        groups = sorted_groups(lengths, *self._most())
        batches = [
            ([positions[row] for row in group.rows], self._padded([rows[row] for row in group.rows], group.length))
            for group in groups
        ]
        tokens = [sum(len(rows[row]["input_ids"]) for row in group.rows) for group in groups]
        unread = [self._unread(row["input_ids"]) for row in rows]
        return _Part(positions, truncated, unread, batches, tokens)

    def _most(self) -> tuple[int, int]:
        """The most texts in a batch, and the most tokens including padding."""
        return (self._batch_size, CPU_CELLS) if self._max_cells is None else (MOST_ROWS, self._max_cells)

    def _most_rows(self, length: int) -> int:
        """The number of texts in a full batch of this length."""
        rows, cells = self._most()
        return max(1, min(rows, cells // length))

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[dict[str, list[int]]], BoolArray]:
        """The model's inputs for each text, at most `max_tokens` long, and which texts were longer."""
        if self._read is not None:
            texts = list(map(self._read, texts))
        windows = [cut(text, self._max_tokens) for text in texts]
        truncated = np.array([was_cut for _, was_cut in windows], dtype=np.bool_)
        with self._tokenizing:
            columns = self._tokenizer([window for window, _ in windows], truncation=False, verbose=False)
            rows = [{key: columns[key][row] for key in self._inputs} for row in range(len(texts))]
            longer = [row for row in range(len(texts)) if len(rows[row]["input_ids"]) > self._max_tokens]
            if longer:
                columns = self._tokenizer(
                    [windows[row][0] for row in longer], truncation=True, max_length=self._max_tokens
                )
                for place, row in enumerate(longer):
                    truncated[row] = True
                    rows[row] = {key: columns[key][place] for key in self._inputs}
        return rows, truncated

    def _padded(self, rows: Sequence[Mapping[str, Sequence[int]]], length: int) -> _Inputs:
        """Rows as tensors of shape (rows, length). `tokenizer.pad` does the same, but takes ten times as long."""
        padding = {"input_ids": self._tokenizer.pad_token_id, "token_type_ids": self._tokenizer.pad_token_type_id}
        left = self._tokenizer.padding_side == "left"
        # A copy from pinned memory to the GPU does not wait for work that was queued before it.
        pinned = self.device != "cpu"
        inputs = {}
        for key in rows[0]:
            inputs[key] = torch.full((len(rows), length), padding.get(key, 0), dtype=torch.int64, pin_memory=pinned)
            filled = inputs[key].numpy()
            for line, row in zip(filled, rows, strict=True):
                line[slice(length - len(row[key]), None) if left else slice(len(row[key]))] = row[key]
        return inputs

    def _logits(self, inputs: _Inputs) -> torch.Tensor:
        """The model's outputs for a batch, on its device; halves a batch that does not fit into the GPU's memory."""
        rows, length = inputs["input_ids"].shape
        failed = False  # not so for a batch that was made before the limit was lowered
        if rows == 1 or self._max_cells is None or rows * length <= self._max_cells:
            try:
                return self._forward(inputs)
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
                failed = True
        # Not inside the handler: there the error would keep alive the frames, and so the memory, of the batch that did
        # not fit.
        half = (rows + 1) // 2
        if failed and self._max_cells is not None and half * length < self._max_cells:
            self._max_cells = half * length
            _log.warning(
                "a batch of %d rows of %d tokens does not fit into memory; from now on batches have at most %d tokens",
                rows,
                length,
                half * length,
            )
        return torch.cat(
            [
                self._logits({key: value[part] for key, value in inputs.items()})
                for part in (slice(half), slice(half, None))
            ]
        )

    def _forward(self, inputs: _Inputs) -> torch.Tensor:
        # Not the pipeline's `forward`: it waits for the outputs of every batch in order to copy them to the CPU.
        with torch.inference_mode():
            on_device = {key: value.to(self.device, non_blocking=True) for key, value in inputs.items()}
            outputs: torch.Tensor = self._pipeline._forward(on_device)["logits"]
            return outputs

    def _probabilities(self, outputs: torch.Tensor) -> FloatArray:
        """The model's outputs as probabilities of the analysis's classes, shape (rows, classes)."""
        logits = outputs.float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError("the model's outputs are not finite numbers")
        probabilities: FloatArray = torch.softmax(logits / self._temperature, -1).numpy() @ self._matrix
        return probabilities


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yields the items in order; while the caller works on one, a thread computes the next."""
    source = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item


def _arithmetic(device: str) -> str:
    """fp32 on a CPU; on a GPU bf16, whose range equals that of fp32, or fp16 where bf16 would be emulated."""
    if device == "cpu":
        return "float32"
    with torch.cuda.device(device):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
