"""MODELS: the models of a service by name, what each name stands for, and clear words for what cannot be used."""

from __future__ import annotations

import json
import os

import pytest

from tasks.errors import SettingsRefused, UnknownModel
from tasks.jobs.keys import turn_keys, turn_prefixes
from tasks.models import DEFAULT, Source, each_once, model_named
from tasks.queue.app import create_celery
from tasks.queue.queues import queue_name
from tasks.settings import Settings, load_settings
from webapp.compose import sentiment_service
from webapp.launch.monitors import worker_ports
from webapp.launch.ports import refuse_shared_ports
from webapp.launch.processes import processes_of


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


def settings_with(monkeypatch: pytest.MonkeyPatch, models: object, **others: str) -> Settings:
    """The settings with these MODELS, as an environment gives them."""
    monkeypatch.setenv("MODELS", models if isinstance(models, str) else json.dumps(models))
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize("models", ["", "{}"])
def test_one_model(monkeypatch: pytest.MonkeyPatch, models: str) -> None:
    """Without MODELS there is the model of MODEL_NAME alone, and everything has the names that it had before."""
    given = {"MODEL_NAME": "a/b", "MODEL_REVISION": "v1", "LABEL_MAP": '{"x": "NEGATIVE"}'}
    settings = settings_with(monkeypatch, models, **given)
    (model,) = each_once(settings.served)
    assert settings.served == {DEFAULT: model}
    assert (model.tag, model.suffix, model.at, model.is_default) == ("a/b@v1", "", "", True)
    assert model.source == Source("a/b", "v1", {"x": "NEGATIVE"})
    assert [queue_name(role, model) for role in ("interactive", "batch")] == ["interactive", "batch"]
    assert turn_keys(model)[:2] == ["sentiq:turns", "sentiq:turns:since"]
    assert list(processes_of(settings)) == ["interactive", "batch", "web"]


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name stands for its model, with queues of its own; names of the same model share it."""
    asked = {
        "en": "default",
        "de": "owner/model@v1",
        "german": {"name": "owner/model", "revision": "v1"},
        "folder": "./models/it@home",
        "mapped": {"name": "my/model", "label_map": {"LABEL_0": "NEGATIVE"}},
    }
    settings = settings_with(monkeypatch, asked)
    served = settings.served
    assert list(served) == ["*", "en", "de", "german", "folder", "mapped"]
    assert served["en"] is served["*"]
    assert served["german"] is served["de"]
    assert [model.names for model in each_once(served)] == [("*", "en"), ("de", "german"), ("folder",), ("mapped",)]
    assert [model.tag for model in each_once(served)] == [
        *("default@-", "owner/model@v1", "./models/it@home@-", "my/model@-"),
    ]
    assert served["mapped"].source.label_map == {"LABEL_0": "NEGATIVE"}
    assert queue_name("batch", served["german"]) == "batch@de"
    assert settings.model_tag == "default@-"
    loaded = settings.of(served["mapped"])
    assert (loaded.model_name, loaded.model_revision, loaded.label_map) == ("my/model", None, {"LABEL_0": "NEGATIVE"})


def test_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """`*` names the model of requests that name none, instead of MODEL_NAME."""
    settings = settings_with(monkeypatch, {"de": "a/b", "*": "c/d@v2"})
    assert settings.model_tag == "c/d@v2"
    assert (settings.of(settings.served["*"]).model_name, settings.of(settings.served["*"]).model_revision) == (
        "c/d",
        "v2",
    )
    assert settings_with(monkeypatch, {"*": "c/d@v2"}, MODEL_NAME="c/d", MODEL_REVISION="v2").model_tag == "c/d@v2"


def test_no_two_share_a_name_in_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever models are called, none has a queue or key of another, of any analysis."""
    names = [
        "since",
        "sent",
        "clock",
        "live",
        "shares",
        "quick",
        "small",
        "batch",
        "interactive",
        "default",
        "spam-abc",
        "a.b",
        "A",
    ]
    found: list[str] = []
    for analysis in ("sentiment", "tests.support.analyses:SPAM"):
        asked = {name: f"owner/{name}" for name in names}
        for model in each_once(settings_with(monkeypatch, asked, ANALYSIS=analysis).served):
            found += [
                *turn_keys(model),
                *turn_prefixes(model),
                *(queue_name(role, model) for role in ("interactive", "batch")),
            ]
    assert len(set(found)) == len(found) == 2 * 14 * 13


def test_celery_knows_all_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application has the queues of each model once, however many names it has."""
    app = create_celery(settings_with(monkeypatch, {"de": "a/b", "german": "a/b"}))
    assert [queue.name for queue in app.conf.task_queues] == ["interactive", "batch", "interactive@de", "batch@de"]
    assert app.conf.task_default_queue == "batch"


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ("{", "must be a JSON object of models by name, for example"),
        ("[]", "must be a JSON object of models by name, for example"),
        ('"default"', "must be a JSON object of models by name, for example"),
        (
            {"a b": "default"},
            "the name of a model has up to 32 letters, digits, -, _ and ., or is `\\*`; 'a b' is none",
        ),
        ({"": "default"}, "'' is none"),
        ('{"de": "a", "en": "b", "de": "c"}', "has 'de' twice in one object"),
        ('{"de": {"name": "a", "label_map": {"x": "POSITIVE", "x": "NEGATIVE"}}}', "has 'x' twice in one object"),
        ({"-x": "default"}, "'-x' is none"),
        ({"x" * 33: "default"}, "'x{33}' is none"),
        ({"y" * 3000: "default"}, "'y{40}' is none"),
        ({"de": ""}, "`de` must be a model as MODEL_NAME takes it"),
        ({"de": None}, "`de` must be a model"),
        ({"de": ["a"]}, "`de` must be a model"),
        ({"de": {}}, "`de` must be a model"),
        ({"de": {"revision": "v1"}}, "`de` must be a model"),
        ({"de": {"name": "a", "revision": 1}}, "`de` must be a model"),
        ({"de": {"name": "a", "labels": {}}}, "`de` must be a model"),
        ({"de": {"name": "a", "label_map": ["x"]}}, "`de` must be a model"),
        ({"de": {"name": "a", "label_map": {"x": 1}}}, "`de` must be a model"),
        (
            {"de": "a", "x": {"name": "a", "label_map": {"b": "NEGATIVE"}}},
            "`de` and `x` are the same model with different label maps",
        ),
    ],
)
def test_what_cannot_be_used(monkeypatch: pytest.MonkeyPatch, models: object, sentence: str) -> None:
    """MODELS that cannot be used is refused in one sentence that names it and the model at fault."""
    with pytest.raises(SettingsRefused, match=f"^MODELS: .*{sentence}") as refused:
        settings_with(monkeypatch, models)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "others", [{"MODEL_NAME": "e/f"}, {"MODEL_REVISION": "v1"}, {"LABEL_MAP": '{"x": "NEGATIVE"}'}]
)
def test_two_defaults(monkeypatch: pytest.MonkeyPatch, others: dict[str, str]) -> None:
    """A service whose default model is named in two places, with different words, does not start."""
    with pytest.raises(SettingsRefused, match=r"^MODELS: gives a model for `\*`, and MODEL_NAME"):
        settings_with(monkeypatch, {"*": "a/b"}, **others)


def test_a_worker_names_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker finds its model by any of its names, and says which there are if there is no such model."""
    served = settings_with(monkeypatch, {"de": "a/b", "german": "a/b"}).served
    assert model_named("german", served).name == "de"
    with pytest.raises(SettingsRefused, match=r"^--model: there is no model 'it'; MODELS has \*, de, german$"):
        model_named("it", served)


def test_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sentiq serve` starts a pair of workers for each model, not for each name, with metrics ports that follow one
    another; if the ports do not suffice, it says which worker has none.
    """
    models = {"de": "a/b", "german": "a/b", "en": "default", "fr": "c/d"}
    settings = settings_with(monkeypatch, models, METRICS_PORT="9000")
    words = {name: words[2:] for name, words in processes_of(settings).items() if name != "web"}
    assert words == {
        "interactive": ("interactive",),
        "batch": ("batch",),
        "interactive@de": ("interactive", "--model", "de"),
        "batch@de": ("batch", "--model", "de"),
        "interactive@fr": ("interactive", "--model", "fr"),
        "batch@fr": ("batch", "--model", "fr"),
    }
    ports = {name: int(given["METRICS_PORT"]) for name, given in worker_ports(settings).items()}
    assert ports == {name: 9000 + number for number, name in enumerate(words)}
    refuse_shared_ports(settings)
    for first, worker in (
        ("65535", "the batch worker takes the port after it"),
        ("65532", "interactive@fr worker takes the port 4 places after it"),
    ):
        with pytest.raises(SettingsRefused, match=f"^METRICS_PORT: .*{worker}.*, and there is none"):
            refuse_shared_ports(settings_with(monkeypatch, models, METRICS_PORT=first))


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request's wish finds the model with that name, no wish the default one; another name is refused with the list
    of names.
    """
    models = {"de": "a/b", "german": "a/b", "en": "default"}
    served = sentiment_service(settings_with(monkeypatch, models, REDIS_URL="unix:///nowhere/valkey.sock")).models
    assert served.choose(None) is served.choose("*") is served.choose("en") is served.default
    assert served.choose("german") is served.choose("de") is not served.default
    assert [model.name for model in served.settings] == ["*", "de"]
    with pytest.raises(UnknownModel, match=r"^No model has this name; this service has `de`, `german`, `en`\."):
        served.choose("it")


def test_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model of MODELS may say which languages it reads; MODEL_LANGUAGES is of that of MODEL_NAME alone."""
    asked = {"de": {"name": "my/model", "languages": ["de-AT", "en"]}, "fr": "other/model"}
    settings = settings_with(monkeypatch, asked, MODEL_LANGUAGES="en, ES")
    served = settings.served
    assert {name: model.source.languages for name, model in served.items()} == {
        "*": ("en", "es"),
        "de": ("de", "en"),
        "fr": (),
    }
    assert [settings.of(model).model_languages for model in each_once(served)] == [("en", "es"), ("de", "en"), ()]


@pytest.mark.parametrize(
    ("models", "others"),
    [
        ({"de": {"name": "my/model", "languages": ["german"]}}, {}),
        ({}, {"MODEL_LANGUAGES": "en, german"}),
    ],
)
def test_language_that_is_no_code(monkeypatch: pytest.MonkeyPatch, models: object, others: dict[str, str]) -> None:
    """A language that is no code ends the start with a sentence that names it."""
    with pytest.raises(SettingsRefused, match="'german' is not a code of a language like `en`"):
        settings_with(monkeypatch, models, **others)


def test_one_model_with_two_sets_of_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names for one model that say otherwise of its languages are refused."""
    asked = {"a": {"name": "my/model", "languages": ["de"]}, "b": "my/model"}
    with pytest.raises(SettingsRefused, match="`a` and `b` are the same model with different languages"):
        settings_with(monkeypatch, asked)
