"""Compiled models: finds the one that was made of a checkpoint before, or has it made by another process.

Nothing here loads torch: what makes the graph (`model.making`) runs in a process of its own, which is gone afterwards
with all its memory, and whose crash is not this process's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import model.errors
from model.analysis import Analysis
from model.artefacts import Artefact, Artefacts
from model.checkpoint import Checkpoint
from model.description import Trial
from model.digests import combined, sha256
from model.errors import ModelNotFound
from model.instructions import instruction_set
from model.labels import Classes
from model.samples import calibration_texts, gate_texts, given_texts

Progress = Callable[[str, float | None], None]
"""Is told each step of compiling, and its share from 0 to 1 where that is known."""

RECIPE = 4
"""The version of how graphs are made: with another one, all are made anew."""
FORMS = ("int8", "bf16", "fp32")
"""What a model can be compiled to, the fastest first."""
GIB = 1 << 30

_ROOT = Path(__file__).parents[1]
_TOOLS = ("torch", "transformers", "nncf")
_NOT_READ = {".safetensors", ".bin", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".md", ".png"}
"""Endings of a checkpoint's files that say nothing of its tokenizer and configuration. `Checkpoint.version` has the
weights."""
_START = "import sys; sys.path.append(sys.argv[1]); from model.making import main; main()"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compiling:
    """How models are compiled."""

    folder: Path
    """Where they are kept."""
    mode: str = "auto"
    """One of `FORMS`, or `auto`: the first that passes the gate; or `off`."""
    max_bytes: int = 10 * GIB
    """When compiled models take more, the least recently used are removed."""
    calibration: Path | None = None
    """Texts by which the scales of int8 are found, one a line, instead of those that Sentiq has."""

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms to try, in this order."""
        return FORMS if self.mode == "auto" else (self.mode,)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of compiling."""

    artefact: Artefact | None
    """The compiled model; None if there is none, and the pipeline engine has to run the checkpoint."""
    trials: tuple[Trial, ...] = ()
    """What the gate found."""
    why: str = ""
    """Why there is none, if that was not the gate."""

    @property
    def reason(self) -> str:
        """Why there is no compiled model, in a sentence."""
        return self.why or reasons(self.trials)


def reasons(trials: Sequence[Trial]) -> str:
    """Which forms were turned down, and why."""
    forms: dict[str, list[str]] = {}
    for trial in trials:
        if not trial.passed:
            forms.setdefault(trial.reason, []).append(trial.form)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in forms.items())


class _Killed(Exception):
    """The process that compiles was killed, as for its memory."""


def obtain(checkpoint: Checkpoint, compiling: Compiling, *, batch_size: int, threads: int, tell: Progress) -> Compiled:
    """Finds the compiled form of a checkpoint, or makes it.

    Args:
        checkpoint: the model.
        compiling: how it is compiled.
        batch_size: the most texts in one call of an engine, while the gate compares two.
        threads: how many threads an engine has, meanwhile.
        tell: is told of each step.

    Raises:
        ModelError: the checkpoint cannot be loaded; or the texts for the calibration cannot be read.
    """
    store = Artefacts(compiling.folder, compiling.max_bytes)
    texts = given_texts(compiling.calibration) if compiling.calibration is not None else calibration_texts()
    try:
        source = _source(checkpoint, compiling, texts)
    except OSError as error:
        raise ModelNotFound(f"{checkpoint.name} cannot be read ({error.strerror or error})") from error
    able = find_spec("torch") is not None and find_spec("transformers") is not None
    # Where nothing can be made, what other versions of the tools have made is as good.
    key = f"{source}-{combined(map(_version, _TOOLS))}" if able else store.any_of(source) or ""
    if key and (artefact := store.find(key)) is not None:
        with contextlib.suppress(OSError), store.alone() as free:
            if free:
                store.prune(keep=key)
        return _outcome(artefact)
    if not able:
        return Compiled(None, why="compiling needs torch and transformers (the extra `torch`)")
    try:
        with store.alone(lambda: tell("waiting for another process that compiles", None)):
            if (artefact := store.find(key)) is not None:  # another worker has made it meanwhile
                return _outcome(artefact)
            for again in (True, False):
                with store.part() as part:
                    request = _request(checkpoint, compiling, texts, part, batch_size, threads)
                    try:
                        made, lasting = _made(request, tell)
                    except _Killed as error:
                        made, lasting = Compiled(None, why=str(error)), False
                        if again:  # by chance, perhaps; the workers that wait may have more luck, and differ then
                            _log.warning("%s; it is tried once more", error)
                            continue
                    if lasting:
                        store.publish(part, key)
                    break
            store.prune(keep=key)
            artefact = store.find(key) if lasting else None
            return made if artefact is None else _outcome(artefact)
    except OSError as error:
        return Compiled(None, why=f"{compiling.folder} cannot be written ({error.strerror or error})")


def _outcome(artefact: Artefact) -> Compiled:
    manifest = artefact.manifest
    trials = manifest.description.trials if manifest.description is not None else ()
    return Compiled(artefact if manifest.sha256 else None, trials)


def _source(checkpoint: Checkpoint, compiling: Compiling, texts: Sequence[str]) -> str:
    """A digest of all that decides on a graph, but for the tools that make it."""
    files = sorted(
        file
        for file in checkpoint.folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.suffix not in _NOT_READ
    )
    return combined(
        [
            f"recipe {RECIPE}",
            f"openvino {_version('openvino')}",
            *instruction_set(),
            *compiling.forms,
            checkpoint.version,
            *(f"{file.name} {sha256(file)}" for file in files),
            *checkpoint.classes.mapped,
            *checkpoint.classes.analysis.classes,
            *texts,
            *gate_texts(),
        ]
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _request(
    checkpoint: Checkpoint, compiling: Compiling, texts: Sequence[str], part: Path, batch_size: int, threads: int
) -> dict[str, Any]:
    """What `model.making` is asked for, as JSON can say it."""
    classes = checkpoint.classes
    analysis = classes.analysis
    return {
        "name": checkpoint.name,
        "folder": str(checkpoint.folder.absolute()),
        "version": checkpoint.version,
        "temperature": checkpoint.temperature,
        "calibrated": checkpoint.calibrated,
        "suffix": checkpoint.suffix,
        "names": classes.names,
        "mapped": classes.mapped,
        "guessed": classes.guessed,
        "analysis": {
            "name": analysis.name,
            "classes": analysis.classes,
            "aliases": {label: sorted(names) for label, names in analysis.aliases.items()},
            "numbered": analysis.numbered,
        },
        "forms": compiling.forms,
        "texts": texts,
        "part": str(part.absolute()),
        "batch_size": batch_size,
        "threads": threads,
    }


def _made(request: Mapping[str, Any], tell: Progress) -> tuple[Compiled, bool]:
    """Has a model compiled by another process; what came of it, and whether that will be so next time as well.

    Raises:
        ModelError: the checkpoint cannot be loaded.
        _Killed: the other process was killed.
    """
    ended: dict[str, Any] = {}
    # The other process ends if its standard input does, and that ends with this process, however it ends.
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-c", _START, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        ) as maker,
    ):
        assert maker.stdin is not None  # nosec B101
        assert maker.stdout is not None  # nosec B101
        maker.stdin.write(json.dumps(request) + "\n")
        maker.stdin.flush()
        for line in maker.stdout:
            said = json.loads(line)
            if "step" in said:
                tell(said["step"], said["share"])
            elif "flat" in said:
                _log.warning(
                    "%s scores all texts nearly alike (they vary by %.4f): was it trained? The check of its compiled"
                    " form says little",
                    request["name"],
                    said["flat"],
                )
            else:
                ended = said
        status = maker.wait()
        complaints.seek(0)
        last = complaints.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    if "refused" in ended:
        raise getattr(model.errors, ended["refused"])(ended["message"])
    if "trials" not in ended:
        if status < 0:
            raise _Killed(f"the process that compiles it was killed by signal {-status}")
        return Compiled(None, why=f"the process that compiles it ended with status {status}: {last}"), False
    trials = tuple(Trial(**trial) for trial in ended["trials"])
    return Compiled(None, trials), ended["lasting"]


def read_request(line: str) -> tuple[Checkpoint, dict[str, Any]]:
    """The checkpoint that a request names, and the rest of it: see `_request`."""
    asked = json.loads(line)
    declared = asked["analysis"]
    analysis = Analysis(
        declared["name"],
        tuple(declared["classes"]),
        {label: frozenset(names) for label, names in declared["aliases"].items()},
        tuple(declared["numbered"]),
    )
    folder = Path(asked["folder"])
    checkpoint = Checkpoint(
        name=asked["name"],
        folder=folder,
        version=asked["version"],
        config=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        classes=Classes(tuple(asked["names"]), tuple(asked["mapped"]), analysis, asked["guessed"]),
        temperature=asked["temperature"],
        calibrated=asked["calibrated"],
        suffix=asked["suffix"],
    )
    return checkpoint, asked
