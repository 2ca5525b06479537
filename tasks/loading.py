"""Loads the engine of the model that the settings name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model.compiling import Compiling, Progress
from model.digests import combined, stated_threshold
from model.engine import Engine
from model.engines.registry import load_engine
from model.language import stated
from model.source import DEFAULT, DEFAULT_FOLDER
from tasks.settings import Settings


def load(settings: Settings, device: str, *, progress: Progress) -> Engine:
    """The engine, which must be warmed before it serves. `progress` is told of each step if the model is compiled.

    Raises:
        ModelError: the model does not exist or cannot be served.
    """
    engine = load_engine(
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
    about = engine.description
    stub = about.form == "stub"
    languages = settings.model_languages or (() if stub else stated(settings.model_name, settings.model_revision))
    below = settings.uncertain_below
    if below is None and about.calibrated:
        below = stated_threshold(DEFAULT_FOLDER if settings.model_name == DEFAULT else Path(settings.model_name))
    engine.description = replace(about, languages=languages, uncertain_below=below)  # type: ignore[misc]
    engine.identity += _suffix(settings)  # type: ignore[misc]
    return engine


def _suffix(settings: Settings) -> str:
    """The end of the identity where settings change what is said of a text: with others, it is scored again.

    Nothing for the defaults.
    """
    said = (settings.model_languages, settings.other_languages, settings.uncertain_below)
    return "" if said == ((), "refuse", None) else f"~{combined(map(repr, said))[:6]}"
