"""The models of a service and the names by which requests choose among them: what MODELS says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from model.analysis import Analysis
from model.language import as_codes
from tasks.errors import SettingsRefused

DEFAULT = "*"
"""The name of the model that answers requests that name none."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_WITH_REVISION = re.compile(r"([A-Za-z0-9_][\w.-]*(?:/[\w.-]+)?)@(\S+)")
"""A name on the hub (or the stub) and a revision of it. A folder is given with its path, and has none."""
_FACTS = {"name", "revision", "label_map", "languages"}
_EXAMPLE = '{"de": "oliverguhr/german-sentiment-bert", "*": "default"}'


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: what MODEL_NAME, MODEL_REVISION, LABEL_MAP and MODEL_LANGUAGES say of one."""

    name: str = "default"
    revision: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the service serves, with workers and queues of its own."""

    names: tuple[str, ...]
    """The names by which requests may choose it, in the order of MODELS."""
    source: Source
    analysis: Analysis

    @property
    def name(self) -> str:
        """Its first name; `*` if that is one of them."""
        return DEFAULT if DEFAULT in self.names else self.names[0]

    @property
    def is_default(self) -> bool:
        """Whether it answers requests that name no model."""
        return DEFAULT in self.names

    @property
    def tag(self) -> str:
        """The model tag: model name and revision as asked for, and the analysis if it is not sentiment."""
        return f"{self.source.name}@{self.source.revision or '-'}{self.analysis.suffix}"

    @property
    def at(self) -> str:
        """What distinguishes the names of its queues and processes from those of the default model, which are older
        than models with names: `@de`, or nothing.
        """
        return "" if self.is_default else f"@{self.name}"

    @property
    def suffix(self) -> str:
        """The end of the names of its queues and of what else it has of its own in Redis."""
        return f"{self.at}{self.analysis.suffix}"


def parse_models(value: object) -> dict[str, Source]:
    """The sources of models by name, from JSON.

    Raises:
        ValueError: a sentence that says what is wrong.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=unique_keys)
        except Twice as error:
            raise ValueError(str(error)) from None
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object of models by name, for example {_EXAMPLE}")
    found: dict[str, Source] = {}
    for name, given in value.items():
        if name != DEFAULT and _NAME.fullmatch(str(name)) is None:
            raise ValueError(
                f"the name of a model has up to 32 letters, digits, -, _ and ., or is `*`; {str(name)[:40]!r} is none"
            )
        found[name] = given if isinstance(given, Source) else _source(name, given)
    return found


class Twice(ValueError):
    """A key of a JSON object is there twice."""


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, for `json.loads`. Of two values of one name, Python would take the second in silence.

    Raises:
        Twice: it has a key twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Twice(f"has {twice[:40]!r} twice in one object")
    return found


def _source(name: str, given: object) -> Source:
    if isinstance(given, str):
        parts = _WITH_REVISION.fullmatch(given)
        given = {"name": parts[1], "revision": parts[2]} if parts is not None else {"name": given}
    facts = dict(given) if isinstance(given, dict) else {}
    words, labels = [facts.get("name"), facts.get("revision", "-")], facts.get("label_map", {})
    given_languages = facts.get("languages", [])
    if (
        not all(isinstance(word, str) and word for word in words)
        or facts.keys() - _FACTS
        or not isinstance(labels, dict)
        or not isinstance(given_languages, list)
        or not all(isinstance(label, str) for label in labels.values())
    ):
        raise ValueError(
            f"`{name}` must be a model as MODEL_NAME takes it, with @REVISION where one is wanted, or an object like"
            ' {"name": "my/model", "revision": "v2", "label_map": {"LABEL_0": "NEGATIVE"}, "languages": ["de"]}'
        )
    try:
        languages = as_codes(given_languages)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None
    return Source(**facts | {"languages": languages})


def require_one_meaning(sources: Mapping[str, Source], default: Source) -> None:
    """Refuses MODELS that contradicts itself, or the settings of a single model.

    Raises:
        ValueError: a sentence that says what is wrong.
    """
    own = sources.get(DEFAULT, default)
    if default not in (own, Source()):
        raise ValueError(
            "gives a model for `*`, and MODEL_NAME, MODEL_REVISION, LABEL_MAP or MODEL_LANGUAGES say something else of"
            " it; leave one out"
        )
    seen: dict[tuple[str, str | None], tuple[str, Source]] = {}
    for name, source in {DEFAULT: own, **sources}.items():
        other, same = seen.setdefault((source.name, source.revision), (name, source))
        if same.label_map != source.label_map:
            raise ValueError(f"`{other}` and `{name}` are the same model with different label maps")
        if same.languages != source.languages:
            raise ValueError(f"`{other}` and `{name}` are the same model with different languages")


def models_by_name(sources: Mapping[str, Source], default: Source, analysis: Analysis) -> dict[str, Model]:
    """The models that a service serves, by each of their names, the default one first.

    Several names may stand for one model, which then has one set of workers.

    Args:
        sources: what MODELS says.
        default: the source of the default model where MODELS does not name it.
        analysis: the analysis that the service performs.
    """
    all_sources = {DEFAULT: default, **sources}
    names: dict[tuple[str, str | None], list[str]] = {}
    for name, source in all_sources.items():
        names.setdefault((source.name, source.revision), []).append(name)
    models = {key: Model(tuple(of), all_sources[of[0]], analysis) for key, of in names.items()}
    return {name: models[source.name, source.revision] for name, source in all_sources.items()}


def model_named(name: str, models: Mapping[str, Model]) -> Model:
    """The model with this name, for a worker that is told to serve it.

    Raises:
        SettingsRefused: there is none.
    """
    if name not in models:
        had = ", ".join(models) if len(models) > 1 else "nothing (set MODELS, as in the web processes)"
        raise SettingsRefused(f"--model: there is no model {name[:40]!r}; MODELS has {had}")
    return models[name]


def each_once(models: Mapping[str, Model]) -> tuple[Model, ...]:
    """The models without repeating those that have several names, in the same order."""
    return tuple({model.name: model for model in models.values()}.values())
