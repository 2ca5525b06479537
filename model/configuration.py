"""What `config.json` says of a model. It is read without transformers, so that a web process can read it too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.errors import ModelNotFound, ModelRefused

_MOST_CLASSES = 10_000
_LONGEST_NAME = 200


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """The content of a model's `config.json`.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: it is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelNotFound(f"{name} has no config.json, so it is no Hugging Face model")
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file. Raises ModelRefused if it is no object."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelRefused(f"{path} is not a JSON object")
    return found


def class_names(config: Mapping[str, Any]) -> list[str]:
    """The names of the model's classes in the order of its outputs, as transformers finds them."""
    try:
        if (named := config.get("id2label")) is None:
            named = {i: f"LABEL_{i}" for i in range(min(int(config.get("num_labels") or 2), _MOST_CLASSES + 1))}
        by_number = {int(number): str(name) for number, name in named.items()}
        names = [by_number[number] for number in range(len(named))]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ModelRefused("config.json must name the model's classes from 0 on: id2label") from None
    if len(names) > _MOST_CLASSES or any(len(name) > _LONGEST_NAME for name in names):
        raise ModelRefused(
            f"config.json may name {_MOST_CLASSES} classes at most, with {_LONGEST_NAME} characters each: id2label"
        )
    return names


def require_choice(name: str, config: Mapping[str, Any]) -> None:
    """Refuses models that do not choose one of several classes, before any weights are fetched."""
    kind = config.get("problem_type")
    if kind in ("regression", "multi_label_classification") or len(class_names(config)) < 2:
        raise ModelRefused(
            f"{name} does not choose one of several classes ({kind or 'one output'}), so its answers are not"
            " probabilities of classes"
        )


def temperature_of(name: str, config: Mapping[str, Any]) -> float | None:
    """What the logits are divided by; 1 is what old versions of transformers wrote for every model."""
    given = config.get("temperature")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0.001 <= given <= 1000:
        raise ModelRefused(f"{name}: the temperature in config.json must be a number from 0.001 to 1000")
    return float(given) if given != 1 else None
