"""Finds the engine that can run a model on this machine. Cheap to import: libraries are loaded with the engine."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from model.analysis import Analysis
from model.checkpoint import find_checkpoint
from model.engine import Engine
from model.engines.stub import StubEngine
from model.errors import EngineUnavailable, ModelNotFound
from model.labels import SENTIMENT
from model.source import DEFAULT, DEFAULT_FOLDER, is_path

_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Device files of GPU drivers (NVIDIA, NVIDIA under WSL, AMD): if none exists, torch need not be imported to look."""

ENGINES = ("auto", "compiled", "pipeline", "stub")


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
) -> Engine:
    """Loads a model; call the engine's `warm` before it serves.

    Args:
        name: `default` (the embedded model), a folder, a Hugging Face name, or `stub` (see `StubEngine.from_name`).
        revision: a branch, tag or commit of a Hugging Face model.
        engine: `compiled`, `pipeline`, `stub`, or `auto`: compiled for the embedded model on a CPU, else pipeline.
        device: `cpu`, `cuda:N`, or `auto`: the first GPU that torch sees, else the CPU.
        batch_size: the most texts in one call of the model.
        threads: processor threads of one scoring call on a CPU.
        label_map: from the model's own class names to the analysis's, for models whose classes are not known.
        analysis: the analysis to perform; its classes are the columns of the scores.

    Raises:
        ModelNotFound: no such model, or one of its files is missing.
        ModelRefused: the model would answer wrongly; see `model.errors`.
        EngineUnavailable: the engine or device cannot run on this machine.
    """
    if engine not in ENGINES:
        raise EngineUnavailable(f"no engine is called {engine!r}: choose one of {', '.join(ENGINES)}")
    if engine == "stub" or (engine == "auto" and name.partition("?")[0] == "stub"):
        return StubEngine.from_name(name, revision, analysis)
    if name != DEFAULT and is_path(name) and not Path(name).is_dir():
        raise ModelNotFound(f"there is no folder {name}")
    chosen = _device(device)
    if engine == "auto":
        engine = "compiled" if name == DEFAULT and chosen == "cpu" else "pipeline"
    if engine == "compiled":
        return _compiled(name, chosen, batch_size, threads, analysis)
    return _pipeline(name, revision, chosen, batch_size, threads, label_map, analysis)


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
        _no_torch(f"the device {device}")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if count else "cpu"
    if int(index or 0) >= count:
        raise EngineUnavailable(f"the device {device} was asked for, but torch finds {count} GPUs here")
    return f"cuda:{int(index or 0)}"


def _compiled(name: str, device: str, batch_size: int, threads: int, analysis: Analysis) -> Engine:
    folder = DEFAULT_FOLDER if name == DEFAULT else Path(name)
    if not (folder / "graph.xml").is_file():
        raise EngineUnavailable(f"{name} has no compiled graph; the pipeline engine may run it (ENGINE=pipeline)")
    if device != "cpu":
        raise EngineUnavailable(
            f"the compiled engine runs on a CPU; the pipeline engine runs on {device} (ENGINE=pipeline)"
        )
    from model.engines.compiled import CompiledEngine

    return CompiledEngine(folder, threads=threads, batch_size=batch_size, name=Path(name).name, analysis=analysis)


def _pipeline(
    name: str,
    revision: str | None,
    device: str,
    batch_size: int,
    threads: int,
    label_map: Mapping[str, str] | None,
    analysis: Analysis,
) -> Engine:
    if find_spec("torch") is None or find_spec("transformers") is None:
        _no_torch("the pipeline engine")
    from model.engines.pipeline import PipelineEngine

    checkpoint = find_checkpoint(name, revision=revision, label_map=label_map, analysis=analysis)
    return PipelineEngine(checkpoint, device=device, batch_size=batch_size, threads=threads)


def _no_torch(what: str) -> NoReturn:
    raise EngineUnavailable(
        f"{what} needs torch and transformers: `make run EXTRAS=torch` installs them, or"
        " pip install 'sentiq[torch]' --constraint constraints.txt"
    )
