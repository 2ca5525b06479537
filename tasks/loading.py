"""Loads the engine of the model that the settings name."""

from __future__ import annotations

from model.compiling import Compiling, Progress
from model.engine import Engine
from model.engines.registry import load_engine
from tasks.settings import Settings


def load(settings: Settings, device: str, *, progress: Progress) -> Engine:
    """The engine, which must be warmed before it serves. `progress` is told of each step if the model is compiled.

    Raises:
        ModelError: the model does not exist or cannot be served.
    """
    return load_engine(
        settings.model_name,
        revision=settings.model_revision,
        engine=settings.engine,
        device=device,
        batch_size=settings.batch_size,
        threads=settings.engine_threads,
        label_map=settings.label_map or None,
        analysis=settings.analysis,
        compiling=Compiling(
            settings.data_dir / "compiled",
            mode=settings.compile,
            max_bytes=settings.compiled_cache_bytes,
            calibration=settings.calibration_texts,
        ),
        progress=progress,
    )
