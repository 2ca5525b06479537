"""Settings: fixed names, one sentence for a bad value, and URLs in the form that each library expects."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from model.labels import SENTIMENT
from tasks.errors import SettingsRefused
from tasks.queue.app import create_celery
from tasks.settings import Settings, load_settings
from tasks.store.connections import celery_url
from tests.support.analyses import SPAM, SPAM_TURNED, TOPICS

FIXED = [
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "MODEL_NAME",
    "MODEL_REVISION",
    "BATCH_SIZE",
    "CACHE_TTL",
    "PREDICT_TIMEOUT",
    "QUEUE_LIMIT",
    "MAX_TEXT_CHARS",
    "MAX_BATCH_TEXTS",
    "JOB_TTL",
    "DEVICE",
    "ENGINE",
]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", FIXED)
def test_fixed_names(name: str) -> None:
    """The promised names exist."""
    assert name.lower() in Settings.model_fields


def test_promised_defaults() -> None:
    """The promised defaults hold in an empty environment."""
    settings = load_settings()
    assert (settings.model_name, settings.batch_size, settings.cache_ttl, settings.predict_timeout) == (
        "default",
        32,
        3600,
        2.0,
    )
    assert settings.redis_url is None
    assert settings.embedded


def test_every_field_is_described() -> None:
    """Each setting is described where it is declared."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "many"),
        ("BATCH_SIZE", "1.5"),
        ("CACHE_TTL", "-1"),
        ("PREDICT_TIMEOUT", "0"),
        ("PREDICT_TIMEOUT", "nan"),
        ("PREDICT_TIMEOUT", "inf"),
        ("PREDICT_TIMEOUT", "61"),
        ("QUEUE_LIMIT", "0"),
        ("WEB_CONCURRENCY", "0"),
        ("LOG_LEVEL", "loud"),
        ("ENGINE", "steam"),
        ("DEVICE", "gpu"),
        ("DEVICE", "cuda"),
        ("LABEL_MAP", "not json"),
        ("LABEL_MAP", "[1]"),
        ("ANALYSIS", "mood"),
        ("ANALYSIS", "nowhere:MOODS"),
        ("ANALYSIS", "tests.support.analyses:NOWHERE"),
        ("ANALYSIS", "tests.support.analyses:NOT_ONE"),
        ("ANALYSIS", "tests.support.analyses:IMPOSTOR"),
        ("ANALYSIS", "tests.support.analyses.SPAM"),
        ("ANALYSIS", "tests.support.broken_analysis:RAISES"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://localhost:abc"),
        ("REDIS_URL", "redis://localhost:99999"),
        ("REDIS_URL", "redis://[::1"),
        ("CELERY_BROKER_URL", "amqp://localhost"),
        ("CELERY_RESULT_BACKEND", "db+sqlite://"),
    ],
)
def test_bad_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value that cannot be used is refused in one line that names the variable."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused) as refused:
        load_settings()
    message = str(refused.value)
    assert name in message
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "login", [":hunter2/", ":hunter2#", ":hunter2?", ":22/", ":22#", ":22?", "me:hunter2/", "me:22/", "me:22#"]
)
def test_password_with_characters_of_an_address(monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    """A password with a character that ends a part of an address is refused, in a sentence that says how to write it
    and does not show a part of it. Otherwise its parts would be taken for a host or a path, and shown.
    """
    monkeypatch.setenv("REDIS_URL", f"redis://{login}secret@host:6379/0")
    with pytest.raises(SettingsRefused, match="REDIS_URL: is not a valid address; in a password, write / as %2F") as no:
        load_settings()
    assert not re.search("hunter|22|secret", str(no.value))


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis:///1",
        "redis://h:6379/0?sentinel=a&sentinels=b:1,c:2&sentinel_password=p@p",
        "rediss://u:p%2Fp@[::1]:1/0?ssl_ca_certs=/path/ca.pem",
        "unix:///run/a@b.sock?db=0",
    ],
)
def test_addresses_of_redis(url: str) -> None:
    """All forms of addresses that docs/deploy.md describes are accepted."""
    assert Settings(redis_url=url).redis_url == url


def test_file_of_keys(tmp_path: Path) -> None:
    """A file of keys may begin with a byte order mark; one that is not UTF-8 is refused in a sentence."""
    (tmp_path / "keys").write_text(f"\ufeffann:predict:{'0' * 64}")
    assert [key.name for key in Settings(api_keys_file=tmp_path / "keys").keys.values()] == ["ann"]
    (tmp_path / "keys").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="it is not UTF-8"):
        Settings(api_keys_file=tmp_path / "keys")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PREDICT_TIMEOUT", "2s", "must be a number of seconds, and not '2s'"),
        ("PREDICT_TIMEOUT", "61", "must be less than or equal to 60, and not '61'"),
        ("CACHE_TTL", "1h", "must be a whole number of seconds, and not '1h'"),
        ("BATCH_SIZE", "1.5", "must be a whole number, and not '1.5'"),
        ("BATCH_SIZE", "9" * 60, f"must be less than or equal to 1024, and not '{'9' * 40}'"),
        ("ACCESS_LOG", "maybe", "must be true or false, and not 'maybe'"),
        ("LOG_FORMAT", "xml", "must be 'auto', 'json' or 'console', and not 'xml'"),
        ("DEVICE", "gpu", "must be auto, cpu or a GPU like cuda:0, and not 'gpu'"),
        ("LABEL_MAP", "[1]", "must be an object, and not '[1]'"),
        ("API_KEYS_FILE", "/no/file", "/no/file cannot be read (No such file or directory)"),
    ],
)
def test_a_bad_value_is_told_in_plain_words(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    """The message says what is expected and repeats at most the beginning of the value, or names the file at fault."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused) as refused:
        load_settings()
    assert str(refused.value) == f"{name}: {said}"


@pytest.mark.parametrize("key", ["", "A" * 28, "-" * 32, "A" * 33])
def test_bad_webhook_secret(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """After `whsec_`, a key that is not base64 or too short is refused, and the message does not quote it."""
    monkeypatch.setenv("CALLBACK_SECRET", f"whsec_{key}")
    with pytest.raises(SettingsRefused, match="CALLBACK_SECRET: must have 24 bytes or more in base64") as refused:
        load_settings()
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("secret", ["whsec_" + "A" * 32, "x", "A whsec_ inside", "whsec-"])
def test_webhook_secret(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """A key of 24 bytes in base64 after `whsec_` is accepted, and any text without that prefix."""
    monkeypatch.setenv("CALLBACK_SECRET", secret)
    loaded = load_settings().callback_secret
    assert loaded is not None
    assert loaded.get_secret_value() == secret


def test_secrets_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key has its own secret if it is named, else the common one, if there is one; so has who has no key."""
    monkeypatch.setenv("CALLBACK_SECRETS", f"ann:whsec_{'A' * 32}, bob:a:b")
    assert [load_settings().callback_secret_of(name) for name in ("ann", "bob", "cat", None)] == [
        f"whsec_{'A' * 32}",
        "a:b",
        None,
        None,
    ]
    monkeypatch.setenv("CALLBACK_SECRET", "common")
    assert [load_settings().callback_secret_of(name) for name in ("bob", "cat", None)] == ["a:b", "common", "common"]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("ann", "entry 1 is not NAME:SECRET"),
        ("ann:x bob:", "entry 2 is not NAME:SECRET"),
        (":hunter2", "entry 1 is not NAME:SECRET"),
        ("a/b:hunter2", "entry 1 is not NAME:SECRET"),
        ("ann:x,ann:hunter2", "entry 2 repeats the name"),
        ("ann:whsec_hunter2", "entry 1 must have 24 bytes or more in base64"),
    ],
)
def test_bad_secrets_of_keys(monkeypatch: pytest.MonkeyPatch, value: str, fault: str) -> None:
    """An entry that cannot be used is refused by its number, and not quoted."""
    monkeypatch.setenv("CALLBACK_SECRETS", value)
    with pytest.raises(SettingsRefused, match=f"CALLBACK_SECRETS: {fault}") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_all_bad_values_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several bad values are reported together."""
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("ENGINE", "steam")
    with pytest.raises(SettingsRefused, match=r"PORT: .*; ENGINE: "):
        load_settings()


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as in Compose files, counts as not set."""
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("BATCH_SIZE", "")
    settings = load_settings()
    assert settings.redis_url is None
    assert settings.batch_size == 32


def test_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    """ANALYSIS names a declaration, by default sentiment.

    Analyses have different model tags even if only the order of their columns differs; sentiment adds nothing to it.
    """
    assert load_settings().analysis is SENTIMENT
    assert load_settings().model_tag == "default@-"
    tags = set()
    for name, declared in (("SPAM", SPAM), ("SPAM_TURNED", SPAM_TURNED), ("TOPICS", TOPICS)):
        monkeypatch.setenv("ANALYSIS", f"tests.support.analyses:{name}")
        settings = load_settings()
        assert settings.analysis is declared
        assert re.fullmatch(rf"default@-\+{declared.name}-[0-9a-f]{{6}}", settings.model_tag)
        tags.add(settings.model_tag)
    assert len(tags) == 3


def emotions(folder: Path) -> str:
    """The part of a model that says what its classes are."""
    (folder / "config.json").write_text('{"id2label": {"0": "anger", "1": "joy"}}')
    return str(folder)


def test_own_classes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LABELS=own takes the classes from the model's config.json; by default it is not read."""
    monkeypatch.setenv("MODEL_NAME", emotions(tmp_path))
    assert load_settings().analysis is SENTIMENT
    monkeypatch.setenv("LABELS", "own")
    settings = load_settings()
    assert settings.analysis.classes == ("anger", "joy")
    assert re.fullmatch(r".*@-\+classification-[0-9a-f]{6}", settings.model_tag)
    monkeypatch.setenv("MODEL_NAME", str(tmp_path / "nowhere"))
    assert load_settings(classes=False).analysis is SENTIMENT  # as a health check loads them


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ANALYSIS": "tests.support.analyses:SPAM"}, "so ANALYSIS must not be set"),
        ({"LABEL_MAP": '{"anger": "NEGATIVE"}'}, "so LABEL_MAP must not be set"),
        ({"MODELS": '{"de": "somebody/german"}'}, "so MODELS must not be set"),
        ({"ENGINE": "stub"}, "the stub engine has none"),
        ({"MODEL_NAME": "stub?delay_s=1"}, "the stub engine has none"),
        ({"MODEL_NAME": "/no/such/model"}, "there is no folder /no/such/model"),
    ],
)
def test_own_classes_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    """LABELS=own is refused beside another setting that says what the classes are, and without a model that has any."""
    for name, value in {"LABELS": "own", "MODEL_NAME": emotions(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused, match=f"^--labels: .*{re.escape(said)}"):
        load_settings({"labels": "--labels"})


def test_frozen() -> None:
    """Settings do not change while the service runs."""
    with pytest.raises(ValueError):
        Settings().port = 1  # type: ignore[misc]


def test_servers_follow_redis_url() -> None:
    """Broker and results are on the cache's server unless they have their own URLs."""
    one = Settings(redis_url="redis://cache")
    assert (one.cache_url, one.broker_url, one.results_url) == ("redis://cache",) * 3
    three = Settings(redis_url="redis://a", celery_broker_url="redis://b", celery_result_backend="redis://c")
    assert (three.cache_url, three.broker_url, three.results_url) == ("redis://a", "redis://b", "redis://c")
    assert not three.embedded


def test_short_socket_path() -> None:
    """The embedded server's socket is in DATA_DIR, or elsewhere if that path is too long for a socket."""
    near = Settings(data_dir=Path("/srv/sentiq"))
    assert near.socket_path == Path("/srv/sentiq/valkey.sock")
    assert near.cache_url == "unix:///srv/sentiq/valkey.sock?db=0"
    far = [Settings(data_dir=Path("/srv") / (letter * 200)) for letter in "ab"]
    assert all(len(bytes(settings.socket_path)) <= 100 for settings in far)
    assert far[0].socket_path != far[1].socket_path
    assert far[0].socket_path == Settings(data_dir=far[0].data_dir).socket_path


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:pa%40ss@host:1/2", "redis://user:pa%40ss@host:1/2"),
        ("rediss://host", "rediss://host?ssl_cert_reqs=required"),
        ("unix:///run/valkey.sock?db=0", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix:///run/valkey.sock?db=3", "redis+socket:///run/valkey.sock?virtual_host=3"),
        ("unix://me:s%3Ac@/run/valkey.sock?db=0", "redis+socket://me:s%3Ac@/run/valkey.sock?virtual_host=0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
    ],
)
def test_celery_url(ours: str, theirs: str) -> None:
    """Our URL of a unix socket is rewritten for Celery in kombu's form; other URLs stay the same."""
    assert celery_url(ours) == theirs


def test_celery_is_given_our_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery uses our URLs, although it reads two of our variables itself and would not understand a socket there."""
    monkeypatch.setenv("CELERY_BROKER_URL", "unix:///run/broker.sock?db=1")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "unix:///run/results.sock?db=2")
    app = create_celery(load_settings())
    for connection in (app.connection_for_read(), app.connection_for_write()):
        assert "/run/broker.sock" in connection.as_uri()
    assert app.backend.connparams["path"] == "/run/results.sock"
    assert app.backend.connparams["db"] in (2, "2")
