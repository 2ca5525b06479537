"""The process that compiles a checkpoint: torch to graph, graph to int8, and the gate. `model.compiling` starts it.

It reads one line from standard input, what to do, and ends when standard input does; to standard output it writes what
it is doing, and in the last line what came of it. The graph is left in the folder that it was told.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from model.checkpoint import Checkpoint, Loaded, load
from model.compiling import read_request
from model.description import Trial
from model.digests import MANIFEST, Manifest, Usage, sha256
from model.engines.compiled import GRAPH_FILES, CompiledEngine, cores
from model.errors import ModelError
from model.gate import LEAST_SPREAD, alone, in_batches, judge, speedup, spread
from model.instructions import instruction_set, overflows
from model.samples import gate_texts

if TYPE_CHECKING:
    import openvino
    from tokenizers import Tokenizer

    from model.graphs import Inputs
    from model.reference import Reference

_KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_SMOOTH_EVERY = 4
"""SmoothQuant reads every fourth text, and what finds the scales reads all (figures in docs/engines.md)."""
_QUOTED_PATH = re.compile(r"(['\"])[^'\"]*[\\/][^'\"]*\1")
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/][^\s'\"]*(?: ?[^\s'\"\\/]*[\\/][^\s'\"]*)+")
"""With blanks in it, as far as words with a slash follow."""
_READ = 2000
"""As many characters of an error are looked at."""
_SPARE_BYTES = 1 << 20
_SPEED = slice(0, 240, 20)
"""The texts of the gate by which the two speeds are measured: twelve that are as long as tweets."""
_ALPHA = 0.8
"""How much of the activations' range SmoothQuant moves into the weights. Chosen on calibration texts, scales from half
of them and judged by the other half (docs/engines.md). The gate's texts judge what came of it, once."""


class Unsuitable(Exception):
    """No form of the model can be compiled; the message says why."""


class Full(Exception):
    """There is no room for the graph, or it cannot be written. Another time it may pass, so this is not remembered."""


class Maker:
    """Compiles a checkpoint to one form after the other, until one passes the gate."""

    def __init__(self, asked: Mapping[str, Any], checkpoint: Checkpoint, loaded: Loaded, out: IO[str]) -> None:
        """Nothing is made yet.

        Args:
            asked: see `model.compiling`.
            checkpoint: the checkpoint.
            loaded: the checkpoint in memory, in fp32.
            out: is told of each step.
        """
        self._part = Path(asked["part"])
        self._texts: Sequence[str] = asked["texts"]
        self._threads: int = asked["threads"] or cores()
        self._how: dict[str, Any] = {"batch_size": asked["batch_size"], "threads": self._threads}
        self._checkpoint = checkpoint
        self.loaded = loaded
        self._out = out
        self._gate = gate_texts()
        self._reference: Reference | None = None
        self._plain: openvino.Model | None = None
        self._calibration: list[Inputs] = []

    def tell(self, step: str, share: float | None = None) -> None:
        """Says what is being done, and how much of it is done."""
        say(self._out, step=step, share=share)

    def run(self, forms: Sequence[str]) -> tuple[list[Trial], bool]:
        """Tries the forms. Returns what the gate found, and whether that would be so another time as well."""
        trials: list[Trial] = []
        usage = Usage()
        lasting = True
        try:
            tokenizer, usage, self._plain = self._stored_tokenizer(), self._usage(), self._converted()
            self._calibration = self._encoded() if "int8" in forms else []
            self.begin_reference()  # last: from here on, the tokenizer and the processors are torch's
        except Unsuitable as error:
            trials = [Trial(form, False, str(error)) for form in forms]
            forms = ()
        for form in forms:
            try:
                trials.append(self._tried(form, tokenizer, replace(usage, precision=_precision(form))))
            except (Full, MemoryError) as error:
                lasting = False
                trials.append(Trial(form, False, str(error) or "not enough memory"))
            except Exception as error:  # of any kind: the next form may do
                trials.append(Trial(form, False, in_a_line(error)))
            if trials[-1].passed:
                break
            self._clear()
        try:
            self._write_manifest(trials, usage if trials[-1].passed else Usage())
        except OSError:
            lasting = False
        return trials, lasting

    def _tried(self, form: str, tokenizer: Tokenizer, usage: Usage) -> Trial:
        """Makes the graph of a form, and compares it with torch.

        Raises:
            Full: there is no room for it.
        """
        if form == "int8" and find_spec("nncf") is None:
            return Trial(form, False, "NNCF is not installed (the extra `torch` has it)")
        if form == "bf16" and "BF16" not in _capabilities():
            return Trial(form, False, "this processor has no bf16")
        if form != "int8":
            return self._compared(form, self._plain, tokenizer, usage)
        try:
            graph = self._int8(_ALPHA)
        except (AttributeError, RuntimeError):
            # SmoothQuant fails where layers share their weights (nncf#4172).
            graph = self._int8(None)
        return self._compared(form, graph, tokenizer, usage)

    def _compared(self, form: str, graph: openvino.Model, tokenizer: Tokenizer, usage: Usage) -> Trial:
        """Stores a graph, and compares it with torch."""
        self._write(graph, tokenizer, form)
        Manifest(self.loaded.max_tokens, self._digests(), usage, self._described(form, ())).write(self._part)
        self.tell("checking", 0.0)
        engine = CompiledEngine(self._part, analysis=self._checkpoint.classes.analysis, **self._how)
        found = in_batches(engine, self._gate, lambda share: self.tell("checking", 0.3 * share))
        single = alone(
            engine, self._gate, lambda share: self.tell("checking", 0.3 + 0.3 * share), threads=self._threads
        )
        reference = self.begin_reference()
        torch = reference.scores(lambda share: self.tell("checking", 0.6 + 0.4 * share))
        if spread(torch) < LEAST_SPREAD:
            say(self._out, flat=spread(torch))
        with reference.engine() as other:
            return judge(form, torch, found, single, speedup(engine, other, self._gate[_SPEED]))

    def begin_reference(self) -> Reference:
        """Torch's scores of the gate's texts, which all forms are compared with; they are made only once."""
        from model.reference import Reference

        if self._reference is None:
            self._reference = Reference(self._checkpoint, self.loaded, self._gate, **self._how)
        return self._reference

    def _converted(self) -> openvino.Model:
        """The graph in fp32.

        Raises:
            Unsuitable: there is none.
        """
        from model.graphs import traced

        self.tell("converting")
        try:
            return traced(self.loaded.model, lambda output: output.logits, self._names())
        except MemoryError:
            raise
        except Exception as error:  # of any kind: torch's and OpenVINO's have no common one
            raise Unsuitable(f"OpenVINO cannot convert it ({in_a_line(error)})") from error

    def _int8(self, alpha: float | None) -> openvino.Model:
        """The graph in int8; `alpha` is SmoothQuant's, None for none."""
        import nncf

        from model.graphs import quantised

        nncf.set_log_level("ERROR")
        smooth = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1 if alpha is None else alpha)
        fix = nncf.OverflowFix.ENABLE if overflows(instruction_set()) else nncf.OverflowFix.DISABLE
        # Correcting biases compiles the graph a third time, and scores come no closer (figures in docs/engines.md).
        advanced = nncf.AdvancedQuantizationParameters(
            overflow_fix=fix, smooth_quant_alphas=smooth, disable_bias_correction=True
        )
        return quantised(
            self._plain, _Counted(self._calibration, self, smooth=alpha is not None), advanced_parameters=advanced
        )

    def _encoded(self) -> list[Inputs]:
        """The texts by which the scales are found, each alone, as nothing is padded; those of the same length follow
        each other, as OpenVINO has to prepare for each new one.
        """
        names, most = self._names(), self.loaded.max_tokens
        encoded = [self.loaded.tokenizer(text, truncation=True, max_length=most) for text in self._texts]
        inputs = [{name: np.array([one[name]], dtype=np.int32) for name in names} for one in encoded]
        return sorted(inputs, key=lambda one: int(one["input_ids"].size))

    def _names(self) -> tuple[str, ...]:
        """The model's inputs, in the order in which the graph has them."""
        given = self.loaded.inputs
        if "input_ids" not in given or not set(given) <= set(_KNOWN_INPUTS):
            raise Unsuitable(f"a compiled model takes token ids and their types, and not {', '.join(given)}")
        return tuple(name for name in _KNOWN_INPUTS if name in given)

    def _usage(self) -> Usage:
        tokenizer, names = self.loaded.tokenizer, self._names()
        padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        return Usage(
            inputs=names,
            padding=tuple(padding.get(name, 0) for name in names),
            pad_left=tokenizer.padding_side == "left",
            logits=True,
            own_lengths=True,
            temperature=self._checkpoint.temperature or 1.0,
            matrix=tuple(map(tuple, self._checkpoint.classes.matrix.tolist())),
        )

    def _stored_tokenizer(self) -> Tokenizer:
        """The tokenizer as the compiled engine reads it.

        Raises:
            Unsuitable: it cannot be stored so, or would give other tokens.
        """
        from tokenizers import Tokenizer
        from transformers import convert_slow_tokenizer

        tokenizer, most = self.loaded.tokenizer, self.loaded.max_tokens
        try:
            backend = getattr(tokenizer, "backend_tokenizer", None)
            stored: Tokenizer = Tokenizer.from_str(
                (backend or convert_slow_tokenizer.convert_slow_tokenizer(tokenizer)).to_str()
            )
        except Exception as error:  # of any kind, as each tokenizer has a conversion of its own
            raise Unsuitable(f"its tokenizer has no fast form ({in_a_line(error)})") from error
        stored.no_padding()
        stored.enable_truncation(most, direction=tokenizer.truncation_side)
        expected = tokenizer(self._gate, truncation=True, max_length=most)
        found = stored.encode_batch(self._gate)
        same = [one.ids for one in found] == expected["input_ids"]
        if "token_type_ids" in self._names():
            same = same and [one.type_ids for one in found] == expected["token_type_ids"]
        if not same:
            raise Unsuitable("its tokenizer's fast form gives other tokens")
        return stored

    def _write(self, graph: openvino.Model, tokenizer: Tokenizer, form: str) -> None:
        import openvino

        small = form != "fp32"
        size = _bytes(graph, 2 if small else 4)
        free = shutil.disk_usage(self._part).free
        if free < size + _SPARE_BYTES:
            raise Full(f"the disk has {free >> 20} MiB left for a graph of {size >> 20} MiB")
        try:
            tokenizer.save(str(self._part / "tokenizer.json"))
            openvino.save_model(graph, self._part / "graph.xml", compress_to_fp16=small)
            for name in GRAPH_FILES:
                with (self._part / name).open("rb+") as file:
                    os.fsync(file.fileno())  # the last moment at which some disks say that they are full
        except Exception as error:  # of any kind, as OpenVINO's says nothing of the cause
            full = _no_room(error, self._part)
            raise Full("the disk is full" if full else f"it cannot be written ({in_a_line(error)})") from error

    def _described(self, form: str, trials: Sequence[Trial]) -> Any:
        return replace(self._checkpoint.description(form, self.loaded.max_tokens), trials=tuple(trials))

    def _digests(self) -> dict[str, str]:
        return {name: sha256(self._part / name) for name in GRAPH_FILES}

    def _write_manifest(self, trials: Sequence[Trial], usage: Usage) -> None:
        passed = trials[-1].passed
        Manifest(
            self.loaded.max_tokens,
            self._digests() if passed else {},
            replace(usage, precision=_precision(trials[-1].form)),
            self._described(trials[-1].form if passed else "pipeline", trials),
        ).write(self._part)

    def _clear(self) -> None:
        for name in (*GRAPH_FILES, MANIFEST):
            with suppress(OSError):
                (self._part / name).unlink()


class _Counted(Collection["Inputs"]):
    """The texts that a quantisation reads; how far it is follows from how many were read. `smooth`: SmoothQuant reads
    them first, and makes do with some.
    """

    def __init__(self, inputs: Sequence[Inputs], maker: Maker, *, smooth: bool) -> None:
        self._inputs, self._maker, self._read = inputs, maker, 0
        self._some = inputs[::_SMOOTH_EVERY] if smooth else ()

    def __len__(self) -> int:
        return len(self._inputs)

    def __contains__(self, item: object) -> bool:
        return item in self._inputs

    def __iter__(self) -> Iterator[Inputs]:
        for one in self._inputs if self._read or not self._some else self._some:
            self._maker.tell("quantising", min(1.0, self._read / (len(self._some) + len(self._inputs))))
            self._read += 1
            yield one


def _capabilities() -> Sequence[str]:
    import openvino

    found: Sequence[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def _precision(form: str) -> str:
    return "bf16" if form == "bf16" else "f32"


def _bytes(graph: openvino.Model, width: int) -> int:
    """About how many bytes a graph's constants take, with numbers of at most `width` bytes."""
    return sum(
        int(np.prod(node.output(0).shape)) * min(width, node.output(0).element_type.size)
        for node in graph.get_ops()
        if node.get_type_name() == "Constant"
    )


def _no_room(error: BaseException, folder: Path) -> bool:
    number = getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or shutil.disk_usage(folder).free < _SPARE_BYTES


def in_a_line(error: BaseException) -> str:
    """An error as `/model` may tell it: in one line, without the paths of files."""
    said = " ".join(f"{type(error).__name__}: {str(error)[:_READ]}".split())
    return _PATH.sub("...", _QUOTED_PATH.sub(r"\1...\1", said))[:300]


def say(out: IO[str], **what: object) -> None:
    """Writes one line."""
    print(json.dumps(what), file=out, flush=True)


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Does what the line on standard input asks for."""
    os.umask(0o077)
    # Libraries write to standard output, too; what they write is a complaint.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    checkpoint, asked = read_request(sys.stdin.readline())
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        say(out, step="loading", share=None)
        trials, lasting = Maker(asked, checkpoint, load(checkpoint), out).run(asked["forms"])
        say(out, trials=[asdict(trial) for trial in trials], lasting=lasting)
    except ModelError as error:
        say(out, refused=type(error).__name__, message=str(error))
    out.flush()
    os._exit(0)  # at once: what is in memory needs no tidying up
