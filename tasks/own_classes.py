"""The analysis of a model's own classes, which LABELS=own asks for; web processes and workers alike."""

from __future__ import annotations

from collections.abc import Mapping

from model.analysis import Analysis
from model.checkpoint import own_analysis
from model.errors import ModelError
from model.labels import SENTIMENT
from tasks.errors import SettingsRefused


def own_classes(
    model: str,
    revision: str | None,
    *,
    engine: str,
    label_map: Mapping[str, str],
    models: Mapping[str, object],
    analysis: Analysis,
    spelt: str,
) -> Analysis:
    """The analysis whose classes are the model's own, as its `config.json` names them.

    Args:
        model: the setting MODEL_NAME.
        revision: MODEL_REVISION.
        engine: ENGINE.
        label_map: LABEL_MAP; it has no place here.
        models: MODELS, nor has this: each would have classes of its own.
        analysis: ANALYSIS, which must be the default.
        spelt: how LABELS was given, for messages: `--labels` if not in the environment.

    Raises:
        SettingsRefused: another setting says what the classes are; or the model has none, or cannot be read here.
    """
    others = {"ANALYSIS": analysis is not SENTIMENT, "LABEL_MAP": label_map, "MODELS": models}
    if given := [name for name, value in others.items() if value]:
        raise SettingsRefused(f"{spelt}: with own, the classes are those of the model, so {given[0]} must not be set")
    if engine == "stub" or model.partition("?")[0] == "stub":
        raise SettingsRefused(f"{spelt}: own needs a model, and the stub engine has none")
    try:
        return own_analysis(model, revision=revision)
    except ModelError as error:
        raise SettingsRefused(
            f"{spelt}: with own, web and workers read the model's classes from its config.json: {error}"
        ) from error
