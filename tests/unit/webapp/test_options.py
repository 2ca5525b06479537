"""Settings as flags and as a file: what goes before what, what is refused and in which words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.settings import Settings, load_settings
from tasks.work.roles import ROLES
from webapp.launch import options
from webapp.launch.commands import Role
from webapp.launch.options import apply, flags

SENTIQ = (sys.executable, "-m", "webapp.client.cli")
SECRETS = {"api_keys", "callback_secret", "callback_secrets"}


@pytest.fixture(autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """An environment without settings, and afterwards the one from before, whatever a test has put into it."""
    before = dict(os.environ)
    for name in before:
        if name.lower() in Settings.model_fields:
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def settled(file: Path | None = None, text: str = "", **given: Any) -> Settings:
    """The settings with these flags and a file with this text."""
    if file is not None:
        file.write_text(text)
    return load_settings(apply(given, file, os.environ))


@pytest.mark.parametrize(
    ("file", "variable", "flag", "port"),
    [
        (None, None, None, 8000),
        ("1001", None, None, 1001),
        (None, "1002", None, 1002),
        (None, None, "1003", 1003),
        ("1001", "1002", None, 1002),
        ("1001", None, "1003", 1003),
        (None, "1002", "1003", 1003),
        ("1001", "1002", "1003", 1003),
        ("1001", "", None, 1001),
        ("1001", "1002", "", 8000),
    ],
)
def test_precedence(tmp_path: Path, file: str | None, variable: str | None, flag: str | None, port: int) -> None:
    """A flag goes before the environment, that before the file, that before the default. An empty variable is one that
    is not set; an empty flag gives the default.
    """
    if variable is not None:
        os.environ["PORT"] = variable
    assert settled(tmp_path / "sentiq.toml", "" if file is None else f"port = {file}", port=flag).port == port


def test_variables_in_lower_case(tmp_path: Path) -> None:
    """A variable counts however it is written: before the file, and not beside a flag."""
    os.environ |= {"port": "1002"}
    assert settled(tmp_path / "sentiq.toml", "port = 1001").port == 1002
    assert settled(port="1003").port == 1003
    assert [name for name in os.environ if name.lower() == "port"] == ["PORT"]


def test_children_find_it_in_their_environment(tmp_path: Path) -> None:
    """What flags and the file say is in the environment afterwards, spelt so that another process reads the same."""
    here = settled(tmp_path / "sentiq.toml", "cache_ttl = 60", access_log=True)
    assert (os.environ["CACHE_TTL"], os.environ["ACCESS_LOG"]) == ("60", "true")
    assert load_settings() == here


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("access_log = true", "access_log", True),
        ("predict_timeout = 0.5", "predict_timeout", 0.5),
        ("max_text_chars = 1_000", "max_text_chars", 1000),
        ('port = "1001"', "port", 1001),
        ('data_dir = "elsewhere"', "data_dir", Path("elsewhere")),
        ('label_map = {LABEL_0 = "NEGATIVE"}', "label_map", {"LABEL_0": "NEGATIVE"}),
        ('[label_map]\nLABEL_0 = "NEGATIVE"', "label_map", {"LABEL_0": "NEGATIVE"}),
        ("""label_map = '{"LABEL_0": "NEGATIVE"}'""", "label_map", {"LABEL_0": "NEGATIVE"}),
        ('cors_origins = ["https://a.org", "https://b.org"]', "cors_origins", ("https://a.org", "https://b.org")),
        ('redis_url = "redis://:secret@host"', "redis_url", "redis://:secret@host"),
        ('model_name = ""', "model_name", "default"),
    ],
)
def test_values_of_the_file(tmp_path: Path, text: str, field: str, value: object) -> None:
    """The file's values are those of TOML, or strings as in the environment."""
    assert getattr(settled(tmp_path / "sentiq.toml", text), field) == value


def test_secrets_of_the_file(tmp_path: Path) -> None:
    """Secrets may stand in the file."""
    settings = settled(tmp_path / "sentiq.toml", f'callback_secret = "s"\napi_keys = "ann:predict:{"0" * 64}"')
    assert settings.callback_secret is not None
    assert settings.callback_secret.get_secret_value() == "s"
    assert [key.name for key in settings.keys.values()] == ["ann"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot = 1", "there is no setting prot; the nearest is port"),
        ("PORT = 1", "there is no setting PORT; the nearest is port"),
        ("cache-ttl = 1", "there is no setting cache-ttl; the nearest is cache_ttl"),
        ("[web]\nport = 1", "there is no setting web"),
        ("qqqqqqqqqqqqqqq = 1", "there is no setting qqqqqqqqqqqqqqq"),
        ("port = ", "is not TOML"),
        ("port = 0", "port in "),
        ("port = [8000]", "port in .*: must be a string, a number, true or false$"),
        ("port = 2026-01-01", "port in .*: must be a string, a number, true or false$"),
        ("cors_origins = [1]", "cors_origins in .*: must be .*, or a list of strings"),
        ("label_map = [1]", "label_map in .*: must be .*, or a table of strings"),
        ('host = "a\\u0000b"', "host in .*: must not hold a NUL"),
        ("prot = 1\nrat_limit = 2", "no setting prot; the nearest is port; .*no setting rat_limit"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    """A file with a name or value that is none is refused in one line that names the file and the place."""
    with pytest.raises(SettingsRefused, match=sentence) as refused:
        settled(tmp_path / "sentiq.toml", text)
    assert str(tmp_path / "sentiq.toml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, or not text, is refused in a sentence."""
    with pytest.raises(SettingsRefused, match=r"nowhere\.toml cannot be read \(No such file or directory\)"):
        apply({}, tmp_path / "nowhere.toml", os.environ)
    (tmp_path / "latin.toml").write_bytes(b'host = "\xe9"')
    with pytest.raises(SettingsRefused, match=r"latin\.toml is not TOML: it is not UTF-8"):
        apply({}, tmp_path / "latin.toml", os.environ)


def test_a_fault_is_named_as_it_was_given(tmp_path: Path) -> None:
    """A bad value is told of by flag, by line of the file or by variable: where it has to be corrected."""
    os.environ["BATCH_SIZE"] = "many"
    with pytest.raises(SettingsRefused) as refused:
        settled(tmp_path / "sentiq.toml", 'engine = "steam"\nport = 0', port="x")
    names = [fault.split(":")[0] for fault in str(refused.value).split("; ")]
    assert names == ["--port", f"engine in {tmp_path / 'sentiq.toml'}", "BATCH_SIZE"]


@pytest.mark.parametrize(
    "given",
    [
        {"callback_secret": "hunter2"},
        {"api_keys": f"hunter2:predict:{'0' * 64}"},
        {"redis_url": "redis://:hunter2@host"},
        {"redis_url": "rediss://user:hunter2@host/0"},
        {"celery_broker_url": "redis://host?password=hunter2"},
        {"celery_result_backend": "redis://host?sentinel=a&sentinel_password=hunter2"},
        {"otel_exporter_otlp_endpoint": "https://user:hunter2@host"},
    ],
)
def test_secrets_are_no_flags(given: dict[str, str]) -> None:
    """A secret in a flag is refused with the other ways to give it, is not repeated, and does not get into the
    environment.
    """
    (name,) = given
    with pytest.raises(
        SettingsRefused, match=f"holds a secret.* {name.upper()} in the environment.* {name} in a"
    ) as no:
        apply(given, None, os.environ)
    assert "hunter2" not in str(no.value)
    assert "hunter2" not in str(os.environ)


@pytest.mark.parametrize("url", ["redis://host:6379/0", "redis://user@host", "unix:///run/valkey.sock?db=0"])
def test_addresses_without_a_password(url: str) -> None:
    """An address that holds no secret may be a flag."""
    assert settled(redis_url=url).redis_url == url


def test_flags_are_the_settings() -> None:
    """Each setting is a flag with the words of its declaration, a secret a hidden one that is refused; and each group
    begins at a setting.
    """
    shown = {one.name: get_args(one.annotation)[1] for one in flags()}
    switches = {name for name in shown if name.startswith("no_")}
    assert shown.keys() - switches == Settings.model_fields.keys()
    assert {name for name, option in shown.items() if option.hidden} == SECRETS | switches
    for name, field in Settings.model_fields.items():
        assert shown[name].help.startswith(" ".join(str(field.description).split()))
        assert shown[name].rich_help_panel
    assert options._GROUPS.keys() <= Settings.model_fields.keys()
    assert next(iter(Settings.model_fields)) in options._GROUPS


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_help_is_readable(command: str) -> None:
    """In 80 columns each flag is whole, under its group, with its default."""
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERMINAL_WIDTH": "80"}
    shown = subprocess.run(
        [*SENTIQ, command, "--help"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "…" not in shown
    for name in Settings.model_fields.keys() - SECRETS:
        assert re.search(rf"--{name.replace('_', '-')}\s", shown), name
    assert [found for found in re.findall(r"─ (\w[\w ]+) ─", shown) if found not in ("Options", "Arguments")] == list(
        options._GROUPS.values()
    )
    assert "Default: 8000." in shown
    for name in SECRETS:
        assert f"--{name.replace('_', '-')} " not in shown


def test_roles() -> None:
    """`sentiq worker` knows the roles that workers have."""
    assert get_args(get_args(Role)[0]) == tuple(ROLES)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("serve", "--port", "x"), EX_CONFIG, "Sentiq cannot start: --port: "),
        (("worker", "batch", "--batch-size=0"), EX_CONFIG, "Sentiq cannot start: --batch-size: "),
        (("serve", "--config", "/nowhere.toml"), EX_CONFIG, "Sentiq cannot start: /nowhere.toml cannot be read"),
        (("serve", "--callback-secret", "s"), EX_CONFIG, "Sentiq cannot start: --callback-secret holds a secret"),
        (("serve", "--prot", "1"), 2, "No such option: --prot"),
        (("serve", "now"), 2, "unexpected extra argument"),
        (("worker",), 2, "Missing argument"),
        (("worker", "nobody"), 2, "'nobody' is not one of"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], status: int, sentence: str) -> None:
    """A setting that cannot be used ends the command with the status of a wrong setting, words that are none with that
    of wrong usage.
    """
    done = subprocess.run([*SENTIQ, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, sentence in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_switches_of_the_command_line() -> None:
    """`--no-allow-anonymous` turns off what the environment turns on: the open door is refused."""
    os.environ["ALLOW_ANONYMOUS"] = "true"
    assert settled(no_allow_anonymous=True).allow_anonymous is False
    done = subprocess.run(
        [*SENTIQ, "serve", "--host", "0.0.0.0", "--no-allow-anonymous"], capture_output=True, text=True, check=False
    )
    assert done.returncode == EX_CONFIG
    assert "HOST: 0.0.0.0 lets in everybody" in done.stderr
