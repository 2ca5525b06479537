"""The engines, each with what it needs and can run, and the choice among them. Cheap to import: libraries are loaded
with an engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.analysis import Analysis
from model.checkpoint import Checkpoint, find_checkpoint
from model.compiling import Compiling, Progress, obtain, reasons
from model.digests import sha256
from model.errors import EngineUnavailable, ModelNotFound, NotCompiled
from model.known_digests import KnownDigests
from model.labels import SENTIMENT
from model.source import DEFAULT, DEFAULT_FOLDER, is_path

if TYPE_CHECKING:
    from model.description import Description
    from model.engine import Engine

_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Device files of GPU drivers (NVIDIA, NVIDIA under WSL, AMD): if none exists, torch need not be imported to look."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What an engine is loaded with: see `load_engine`."""

    name: str
    revision: str | None
    device: str
    batch_size: int
    threads: int
    label_map: Mapping[str, str] | None
    analysis: Analysis
    compiling: Compiling | None
    progress: Progress

    @property
    def graph(self) -> Path | None:
        """The model's folder, if it was exported with a graph."""
        folder = DEFAULT_FOLDER if self.name == DEFAULT else Path(self.name)
        return folder if (folder / "graph.xml").is_file() else None

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model, found once for all engines."""
        return find_checkpoint(
            self.name,
            revision=self.revision,
            label_map=self.label_map,
            analysis=self.analysis,
            digest=sha256 if self.compiling is None else KnownDigests(self.compiling.folder).of,
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """What an engine declares of itself."""

    needs: tuple[str, ...]
    """The packages that it imports."""
    devices: tuple[str, ...]
    """The kinds of device that it runs on."""
    unfit: Callable[[Wanted], str]
    """Why it cannot run a model, in a few words; empty if it can."""
    load: Callable[[Wanted], Engine]
    """Loads it."""

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def load_engine(
    name: str,
    *,
    revision: str | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int = 32,
    threads: int = 1,
    label_map: Mapping[str, str] | None = None,
    analysis: Analysis = SENTIMENT,
    compiling: Compiling | None = None,
    progress: Progress = lambda step, share: None,
) -> Engine:
    """Loads a model; call the engine's `warm` before it serves.

    Args:
        name: `default` (the embedded model), a folder, a Hugging Face name, or `stub` (see `StubEngine.from_name`).
        revision: a branch, tag or commit of a Hugging Face model.
        engine: one of `ENGINES`, or `auto`: the first that can run the model on the device.
        device: `cpu`, `cuda:N`, or `auto`: the first GPU that torch sees, else the CPU.
        batch_size: the most texts in one call of the model.
        threads: processor threads of one scoring call on a CPU.
        label_map: from the model's own class names to the analysis's, for models whose classes are not known.
        analysis: the analysis to perform; its classes are the columns of the scores.
        compiling: how models without a graph are compiled; without it they are not.
        progress: is told of each step of compiling.

    Raises:
        ModelNotFound: no such model, or one of its files is missing.
        ModelRefused: the model would answer wrongly; see `model.errors`.
        EngineUnavailable: the engine or device cannot run on this machine, or not this model.
    """
    if engine != "auto" and engine not in ENGINES:
        raise EngineUnavailable(f"no engine is called {engine!r}: choose one of auto, {', '.join(ENGINES)}")
    stub = engine == "stub" or (engine == "auto" and _is_stub(name))
    if not stub and name != DEFAULT and is_path(name) and not Path(name).is_dir():
        raise ModelNotFound(f"there is no folder {name}")
    chosen = "cpu" if stub else _device(device)
    wanted = Wanted(name, revision, chosen, batch_size, threads, label_map, analysis, compiling, progress)
    loaded = _first(wanted) if engine == "auto" else _this(engine, wanted)
    if loaded.description.trials and loaded.description.form.startswith("pipeline"):
        _log.warning("%s", told(loaded.identity.partition("@")[0], loaded.description))
    return loaded


def told(name: str, description: Description) -> str:
    """What came of compiling a model, in a sentence."""
    passed = next((trial for trial in description.trials if trial.passed), None)
    turned_down = reasons(description.trials)
    if passed is None:
        return f"{name} is run by torch, as no compiled form of it may serve ({turned_down})"
    return (
        f"{name} is compiled to {passed.form}: {passed.labels_equal:.1%} of {passed.texts} labels equal torch's, scores"
        f" differ by {passed.mean_difference:.4f} on average, {passed.speedup:.1f} times the speed"
        + (f"; turned down: {turned_down}" if turned_down else "")
    )


def _this(engine: str, wanted: Wanted) -> Engine:
    """The engine that was asked for.

    Raises:
        EngineUnavailable: it cannot run here, or not this model.
    """
    kind = ENGINES[engine]
    if kind.missing():
        raise EngineUnavailable(_uninstalled(f"the {engine} engine", kind))
    if wanted.device.partition(":")[0] not in kind.devices:
        others = " or ".join(name for name, kind in ENGINES.items() if wanted.device.partition(":")[0] in kind.devices)
        raise EngineUnavailable(
            f"the {engine} engine runs on a CPU; the {others} engine runs on {wanted.device} (ENGINE={others})"
        )
    if engine != "stub" and (reason := kind.unfit(wanted)):  # the stub takes any name, if it is asked for
        raise EngineUnavailable(f"the {engine} engine cannot run {wanted.name}: {reason}")
    return kind.load(wanted)


def _first(wanted: Wanted) -> Engine:
    """The first engine that can run the model on the device.

    Raises:
        EngineUnavailable: none can.
    """
    tried: NotCompiled | None = None
    for name, kind in ENGINES.items():
        if wanted.device.partition(":")[0] not in kind.devices or kind.unfit(wanted):
            continue
        if kind.missing():
            if name != list(ENGINES)[-1]:
                continue
            raise EngineUnavailable(_uninstalled(f"{wanted.name} on {wanted.device}", kind))
        try:
            loaded = kind.load(wanted)
        except NotCompiled as error:
            if wanted.compiling is not None and wanted.compiling.mode != "auto":
                raise
            tried = error
            continue
        if tried is not None:
            if not tried.trials:
                _log.warning("%s is run by torch: %s", wanted.name, tried)
            loaded.description = replace(loaded.description, trials=tried.trials)  # type: ignore[misc]
        return loaded
    raise EngineUnavailable(f"no engine can run {wanted.name} on {wanted.device}")


def _uninstalled(what: str, kind: Kind) -> str:
    extra = "torch" if "torch" in kind.needs else "server"
    run = "`make run EXTRAS=torch` installs them" if extra == "torch" else "`make run` installs them"
    return (
        f"{what} needs {' and '.join(kind.needs)}: {run}, or pip install 'sentiq[{extra}]' --constraint constraints.txt"
    )


def _device(device: str) -> str:
    """The device to use: `cpu` or `cuda:N`.

    Raises:
        EngineUnavailable: this machine has no such device.
    """
    if device == "cpu" or (device == "auto" and not any(Path(file).exists() for file in _GPU_FILES)):
        return "cpu"
    kind, _, index = device.partition(":")
    if device != "auto" and not (kind == "cuda" and (index or "0").isdecimal()):
        raise EngineUnavailable(f"no device is called {device!r}: choose auto, cpu or cuda:N")
    if find_spec("torch") is None:
        if device == "auto":
            return "cpu"
        raise EngineUnavailable(_uninstalled(f"the device {device}", ENGINES["pipeline"]))
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if count else "cpu"
    if int(index or 0) >= count:
        raise EngineUnavailable(f"the device {device} was asked for, but torch finds {count} GPUs here")
    return f"cuda:{int(index or 0)}"


def _is_stub(name: str) -> bool:
    return name.partition("?")[0] == "stub"


def _stub(wanted: Wanted) -> Engine:
    from model.engines.stub import StubEngine

    return StubEngine.from_name(wanted.name, wanted.revision, wanted.analysis)


def _uncompiled(wanted: Wanted) -> str:
    """Why a model has no graph and gets none."""
    if wanted.graph is not None:
        return ""
    if wanted.compiling is None or wanted.compiling.mode == "off":
        off = "" if wanted.compiling is None else ", and COMPILE=off makes none"
        return f"it has no compiled graph{off}; the pipeline engine may run it (ENGINE=pipeline)"
    return ""


def _compiled(wanted: Wanted) -> Engine:
    how: dict[str, Any] = {"threads": wanted.threads, "batch_size": wanted.batch_size}
    if wanted.graph is not None:
        from model.engines.compiled import CompiledEngine

        return CompiledEngine(wanted.graph, **how, name=Path(wanted.name).name, analysis=wanted.analysis)
    checkpoint = wanted.checkpoint
    assert wanted.compiling is not None  # nosec B101: else `_uncompiled` says so
    compiled = obtain(checkpoint, wanted.compiling, tell=wanted.progress, **how)
    if compiled.artefact is None:
        mode = wanted.compiling.mode
        demanded = f"COMPILE={mode} is not possible for {checkpoint.name}: " if mode != "auto" else ""
        raise NotCompiled(f"{demanded}{compiled.reason}", compiled.trials)
    from model.engines.compiled import CompiledEngine

    return CompiledEngine(
        compiled.artefact.folder,
        **how,
        name=checkpoint.name,
        analysis=wanted.analysis,
        version=checkpoint.version,
        suffix=checkpoint.suffix,
        artefact=compiled.artefact,
    )


def _pipeline(wanted: Wanted) -> Engine:
    checkpoint = wanted.checkpoint  # first: what is refused is said before the seconds that torch takes to import
    from model.engines.pipeline import PipelineEngine

    return PipelineEngine(checkpoint, device=wanted.device, batch_size=wanted.batch_size, threads=wanted.threads)


ENGINES: Mapping[str, Kind] = {
    "stub": Kind(("numpy",), ("cpu",), lambda wanted: "" if _is_stub(wanted.name) else "it is a model", _stub),
    "compiled": Kind(("openvino", "tokenizers"), ("cpu",), _uncompiled, _compiled),
    "pipeline": Kind(("torch", "transformers"), ("cpu", "cuda"), lambda wanted: "", _pipeline),
}
"""The engines by name, in the order in which `auto` tries them."""
