"""Settings as flags and as a file: which takes precedence, what is refused, and with which messages."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.models import Source
from tasks.settings import Settings, load_settings
from tasks.work.roles import ROLES
from webapp.launch import options
from webapp.launch.commands import Role
from webapp.launch.options import apply, flags
from webapp.launch.ports import refuse_shared_ports

ROOT = Path(__file__).resolve().parents[3]
SENTIQ = (sys.executable, "-m", "webapp.client.cli")
SECRETS = {"api_keys", "callback_secret", "callback_secrets"}


@pytest.fixture(autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """An environment without settings; after the test the old environment is restored."""
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
    """A flag takes precedence over the environment, the environment over the file, the file over the default. An empty
    variable counts as not set; an empty flag gives the default.
    """
    if variable is not None:
        os.environ["PORT"] = variable
    assert settled(tmp_path / "sentiq.toml", "" if file is None else f"port = {file}", port=flag).port == port


def test_variables_in_lower_case(tmp_path: Path) -> None:
    """A variable in lower case counts too: it takes precedence over the file, but not over a flag."""
    os.environ |= {"port": "1002"}
    assert settled(tmp_path / "sentiq.toml", "port = 1001").port == 1002
    assert settled(port="1003").port == 1003
    assert [name for name in os.environ if name.lower() == "port"] == ["PORT"]


def test_children_find_it_in_their_environment(tmp_path: Path) -> None:
    """The values of flags and the file are in the environment afterwards, and another process reads the same settings
    from it.
    """
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
        (
            "[models]\nde = 'a/b@v1'\n[models.fr]\nname = 'c'\nlabel_map = {x = 'NEGATIVE'}",
            "models",
            {"de": Source("a/b", "v1"), "fr": Source("c", None, {"x": "NEGATIVE"})},
        ),
        ('[label_map]\nLABEL_0 = "NEGATIVE"', "label_map", {"LABEL_0": "NEGATIVE"}),
        ("""label_map = '{"LABEL_0": "NEGATIVE"}'""", "label_map", {"LABEL_0": "NEGATIVE"}),
        ('cors_origins = ["https://a.org", "https://b.org"]', "cors_origins", ("https://a.org", "https://b.org")),
        ('redis_url = "redis://:secret@host"', "redis_url", "redis://:secret@host"),
        ('model_name = ""', "model_name", "default"),
    ],
)
def test_values_of_the_file(tmp_path: Path, text: str, field: str, value: object) -> None:
    """The file's values may be TOML values, or strings as in the environment."""
    assert getattr(settled(tmp_path / "sentiq.toml", text), field) == value


def test_secrets_of_the_file(tmp_path: Path) -> None:
    """Secrets may be given in the file."""
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
        ("[web]\nport = 1", "there is no setting web; the file has no sections, each line is a setting$"),
        ("[ports]\nport = 1", "there is no setting ports; the file has no sections, each line is a setting$"),
        ("prometheus = 1", "there is no setting prometheus$"),
        ("qqqqqqqqqqqqqqq = 1", "there is no setting qqqqqqqqqqqqqqq$"),
        ("port = ", "is not TOML"),
        ("port = 0", "port in "),
        ("port = [8000]", "port in .*: must be a string, a number, true or false$"),
        ("port = 2026-01-01", "port in .*: must be a string, a number, true or false$"),
        ("cors_origins = [1]", "cors_origins in .*: must be .*, or a list of strings"),
        ("label_map = [1]", "label_map in .*: must be .*, or a table of strings"),
        ('host = "a\\u0000b"', "host in .*: must not hold a NUL"),
        ("label_map = {a = 2026-01-01}", "label_map in .*: must be .*, or a table of strings"),
        ("label_map = {a = {b = 'c'}}", "label_map in .*: must be .*, or a table of strings"),
        (f"port = 0x{'f' * 5000}", "port in .*: is too large a number"),
        (f"port = {'1' * 5000}", "a number has too many digits"),
        (f"port = {'[' * 5000}", "brackets are nested too deeply"),
        ('"a\\n\\u001b[31m" = 1', r"there is no setting 'a\\n\\x1b\[31m'"),
        (f"{'a' * 5000} = 1", "there is no setting 'a{60}'[.]{3}$"),
        ("prot = 1\nrat_limit = 2", "no setting prot; the nearest is port; .*no setting rat_limit"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    """A file with an unknown name or an invalid value is refused in one line that names the file and the place."""
    with pytest.raises(SettingsRefused, match=sentence) as refused:
        settled(tmp_path / "sentiq.toml", text)
    assert str(tmp_path / "sentiq.toml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that does not exist, or is not text, is refused in a sentence."""
    with pytest.raises(SettingsRefused, match=r"nowhere\.toml cannot be read \(No such file or directory\)"):
        apply({}, tmp_path / "nowhere.toml", os.environ)
    (tmp_path / "latin.toml").write_bytes(b'host = "\xe9"')
    with pytest.raises(SettingsRefused, match=r"latin\.toml is not TOML: it is not UTF-8"):
        apply({}, tmp_path / "latin.toml", os.environ)
    with pytest.raises(SettingsRefused, match="/dev/zero is larger than 1,000,000 bytes"):
        apply({}, Path("/dev/zero"), os.environ)


def test_byte_order_mark(tmp_path: Path) -> None:
    """A file may begin with a byte order mark, as editors on Windows write it."""
    assert settled(tmp_path / "sentiq.toml", "\ufeffport = 1001").port == 1001


def test_a_fault_is_named_as_it_was_given(tmp_path: Path) -> None:
    """The message about a bad value names the flag, the line of the file or the variable that has to be corrected."""
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
    """A secret in a flag is refused. The message names the other ways to give it and does not repeat it, and the secret
    does not get into the environment.
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
    """An address without a password may be given as a flag."""
    assert settled(redis_url=url).redis_url == url


def test_flags_are_the_settings() -> None:
    """Each setting has a flag with the description from its declaration; the flag of a secret is hidden, and refused.
    Each group of flags begins at a setting.
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


def test_flags_of_a_worker() -> None:
    """`sentiq worker` has a flag for each setting that a worker reads, and for no other."""
    worker = [ROOT / "tasks" / name for name in ("worker.py", "loading.py", "tracing.py", "queue/app.py")]
    worker += (ROOT / "tasks" / "work").glob("*.py")
    read = {found for file in worker for found in re.findall(r"settings\.(\w+)", file.read_text())}
    declared, loading = (ROOT / "tasks" / "settings.py").read_text().split("\ndef load_settings")
    read |= set(re.findall(r"settings\.(\w+)", loading))
    for name, body in re.findall(r"    def (\w+)\(self[^\n]*\n((?:        .*\n|\n)+)", declared) * 2:
        if name in read:  # a property
            read |= set(re.findall(r"self\.(\w+)", body))
    assert set(options.OF_A_WORKER) == read & Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("command", "names"), [("serve", set(Settings.model_fields)), ("worker", set(options.OF_A_WORKER))]
)
def test_help_is_readable(command: str, names: set[str]) -> None:
    """In 80 columns the help shows each flag uncut, under its group, with its default."""
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERMINAL_WIDTH": "80"}
    shown = subprocess.run(
        [*SENTIQ, command, "--help"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "…" not in shown
    for name in names - SECRETS:
        assert re.search(rf"--{name.replace('_', '-')}\s", shown), name
    groups = [found for found in re.findall(r"─ (\w[\w ]+) ─", shown) if found not in ("Options", "Arguments")]
    assert groups == [group for group in options._GROUPS.values() if group != "Callers" or command == "serve"]
    assert "Default: 3600." in shown
    assert "Default: ." not in shown
    for name in SECRETS:
        assert f"--{name.replace('_', '-')} " not in shown


def test_roles() -> None:
    """`sentiq worker` accepts the roles that workers have."""
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
        (("worker", "nobody"), 2, "Invalid value for 'role': 'nobody' is not one of"),
        (("worker", "batch", "--port", "1"), 2, "No such option: --port"),
        (("compile",), 2, "Missing argument"),
        (("compile", "default", "--redis-url", "redis://x"), 2, "No such option: --redis-url"),
        (("backup",), 2, "Missing argument"),
        (("restore", "x", "--port", "1"), 2, "No such option: --port"),
        (("compile", "default", "--batch-size=0"), EX_CONFIG, "Sentiq cannot start: --batch-size: "),
    ],
)
def test_what_is_refused(words: tuple[str, ...], status: int, sentence: str) -> None:
    """An invalid setting ends the command with the status for settings, an unknown word with that for wrong usage."""
    done = subprocess.run([*SENTIQ, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, sentence in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_without_a_service(tmp_path: Path) -> None:
    """Where no service runs, a worker that is given no Redis ends and says what to give. It does so too if a server
    that was killed has left its socket.
    """
    os.environ["DATA_DIR"] = str(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        for _ in range(2):
            done = subprocess.run([*SENTIQ, "worker", "batch"], capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stdout) == (1, "")
            assert re.fullmatch(
                rf"Sentiq cannot start: no Sentiq runs on {tmp_path}; .*--data-dir.*--redis-url.*\n", done.stderr
            )
            if not (tmp_path / "valkey.sock").exists():
                left.bind(str(tmp_path / "valkey.sock"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"metrics_port": "8000"}, "METRICS_PORT: the API and the interactive worker's metrics cannot both listen on"),
        (
            {"metrics_port": "7999"},
            "METRICS_PORT: the API and the batch worker's metrics cannot both listen on port 80",
        ),
        ({"web_metrics_port": "8000"}, "WEB_METRICS_PORT: the API and the web's metrics cannot both"),
        ({"web_metrics_port": "8000", "metrics_host": "::"}, "WEB_METRICS_PORT: "),
        ({"web_metrics_port": "9000", "metrics_port": "9000"}, "METRICS_PORT: the web's metrics and the interactive"),
        ({"metrics_port": "65535"}, "METRICS_PORT: the batch worker takes the port after it, and there is none"),
        ({}, None),
        ({"metrics_port": "8001", "web_metrics_port": "8003"}, None),
        ({"metrics_port": "8000", "metrics_host": "127.0.0.2"}, None),
    ],
)
def test_shared_ports(given: dict[str, Any], said: str | None) -> None:
    """Settings by which two processes would listen on the same port of an address are refused."""
    if said is None:
        refuse_shared_ports(settled(**given))
        return
    with pytest.raises(SettingsRefused) as refused:
        refuse_shared_ports(settled(**given))
    assert str(refused.value).startswith(said)


def test_switches_of_the_command_line() -> None:
    """`--no-allow-anonymous` turns off what the environment turns on: an open service is refused."""
    os.environ["ALLOW_ANONYMOUS"] = "true"
    assert settled(no_allow_anonymous=True).allow_anonymous is False
    done = subprocess.run(
        [*SENTIQ, "serve", "--host", "0.0.0.0", "--no-allow-anonymous"], capture_output=True, text=True, check=False
    )
    assert done.returncode == EX_CONFIG
    assert "HOST: 0.0.0.0 lets in everybody" in done.stderr
