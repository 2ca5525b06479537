"""Settings whose analysis has the model's own classes, as LABELS=own asks for; web processes and workers alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.checkpoint import own_analysis
from model.errors import ModelError
from model.labels import SENTIMENT
from tasks.errors import SettingsRefused

if TYPE_CHECKING:
    from tasks.settings import Settings


def with_own_classes(settings: Settings, spelt: str = "LABELS") -> Settings:
    """The settings with an analysis of the model's own classes, which are read from its `config.json`.

    Args:
        settings: the settings.
        spelt: how the setting was given, if not in the environment: `--labels`.

    Raises:
        SettingsRefused: another setting says what the classes are; or the model has none, or cannot be read here.
    """
    if settings.labels != "own":
        return settings
    if settings.analysis is not SENTIMENT or settings.label_map:
        other = "LABEL_MAP" if settings.label_map else "ANALYSIS"
        raise SettingsRefused(f"{spelt}: with own, the classes are those of the model, so {other} must not be set")
    if settings.engine == "stub" or settings.model_name.partition("?")[0] == "stub":
        raise SettingsRefused(f"{spelt}: own needs a model, and the stub engine has none")
    try:
        analysis = own_analysis(settings.model_name, revision=settings.model_revision)
    except ModelError as error:
        raise SettingsRefused(
            f"{spelt}: with own, web and workers read the model's classes from its config.json: {error}"
        ) from error
    return settings.model_copy(update={"analysis": analysis})
