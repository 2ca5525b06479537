"""The settings as flags and as a file, both derived from the declaration in `tasks.settings`. Their values go into the
environment, which every process reads and every child inherits.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tasks.errors import SettingsRefused
from tasks.settings import Settings

_GROUPS = {
    "redis_url": "Redis and files",
    "host": "Listening and logs",
    "metrics_port": "Metrics",
    "model_name": "Model",
    "cache_ttl": "Texts and jobs",
    "api_keys": "Callers",
}
"""The groups of flags in the help: for the first setting of each, in the order of the declaration, its title."""
OF_A_WORKER = frozenset(
    (
        "redis_url",
        "celery_broker_url",
        "celery_result_backend",
        "data_dir",
        "log_level",
        "log_format",
        "otel_exporter_otlp_endpoint",
        "metrics_port",
        "metrics_host",
        "model_name",
        "model_revision",
        "label_map",
        "model_languages",
        "other_languages",
        "uncertain_below",
        "models",
        "analysis",
        "labels",
        "engine",
        "compile",
        "calibration_texts",
        "compiled_cache_bytes",
        "device",
        "engine_threads",
        "batch_size",
        "cache_ttl",
        "long_texts",
        "job_ttl",
        "callback_secret",
        "callback_secrets",
        "callback_allow_private",
        "max_segments",
        "stream_sample",
        "stream_metrics",
    )
)
"""The settings that a worker reads: the flags of `sentiq worker`."""
OF_A_MODEL = frozenset(
    (
        "data_dir",
        "model_name",
        "model_revision",
        "label_map",
        "analysis",
        "labels",
        "compile",
        "calibration_texts",
        "compiled_cache_bytes",
        "engine_threads",
        "batch_size",
    )
)
"""The settings that decide how a model is compiled: the flags of `sentiq compile`."""
OF_A_BACKUP = frozenset(("redis_url", "celery_result_backend", "data_dir"))
"""The settings that say where jobs are: the flags of `sentiq backup` and `sentiq restore`."""
_METAVARS = {int: "N", float: "SECONDS", Path: "PATH", dict: "JSON"}
_LARGEST_FILE = 1_000_000
"""Bytes of a file of settings; its largest part may be some thousand API keys."""
_LONGEST_NAME = 60
_PASSWORD = re.compile(r"://[^@]*:[^@]*@|password=")


def flags(names: Collection[str] = Settings.model_fields) -> Iterator[inspect.Parameter]:
    """A parameter of the command for each of these settings; its value is None if the flag is not given."""
    group = ""
    for name, field in Settings.model_fields.items():
        group, kind = _GROUPS.get(name, group), _kind(field)
        if name not in names:
            continue
        meaning = " ".join((field.description or "").split())
        if get_origin(kind) is Literal:
            meaning += f" One of {', '.join(get_args(kind))}."
        if kind is not bool and field.default not in (None, {}, (), ""):
            meaning += f" Default: {field.default}."
        yield _parameter(
            name,
            bool if kind is bool else str,
            help=meaning,
            metavar=None if kind is bool else _metavar(name, kind),
            rich_help_panel=group,
            hidden=kind is SecretStr,
        )
        if kind is bool:
            yield _parameter(f"no_{name}", bool, hidden=True)


def _parameter(name: str, kind: type, **shown: Any) -> inspect.Parameter:
    option = typer.Option(_flag(name), show_default=False, **shown)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def apply(
    given: Mapping[str, str | bool | None], file: Path | None, environment: MutableMapping[str, str]
) -> dict[str, str]:
    """Puts flags and the settings of a file into the environment. A flag takes precedence over a variable that is set,
    and a variable over the file.

    Returns:
        The name of each setting where its value came from, which `load_settings` uses in its messages.

    Raises:
        SettingsRefused: the file cannot be used, or a flag holds a secret.
    """
    spelt: dict[str, str] = {}
    set_already = {name.lower() for name, value in environment.items() if value}
    for field, value in (_read(file) if file is not None else {}).items():
        if field not in set_already:
            environment[field.upper()] = value
            spelt[field] = f"{field} in {file}"
    for field, flag_value in given.items():
        if flag_value is None:
            continue
        if field.startswith("no_"):
            field, flag_value = field.removeprefix("no_"), not flag_value
        value = _text(flag_value)
        if _kind(Settings.model_fields[field]) is SecretStr or _PASSWORD.search(value):
            raise SettingsRefused(
                f"{_flag(field)} holds a secret, and every user of this machine can read arguments; give it as"
                f" {field.upper()} in the environment, or as {field} in a file for --config"
            )
        for name in [name for name in environment if name.lower() == field]:
            del environment[name]
        environment[field.upper()] = value
        spelt[field] = _flag(field)
    return spelt


def _read(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as opened:  # may be a pipe or a device, which has no size and perhaps no end
            raw = opened.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise SettingsRefused(f"{file} cannot be read ({error.strerror})") from None
    if len(raw) > _LARGEST_FILE:
        raise SettingsRefused(f"{file} is larger than {_LARGEST_FILE:,} bytes, and so is no file of settings")
    try:
        table = tomllib.loads(raw.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
    except UnicodeDecodeError:
        raise SettingsRefused(f"{file} is not TOML: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused(f"{file} is not TOML: {error}") from None
    except (ValueError, RecursionError):  # tomllib lets these of Python through
        raise SettingsRefused(f"{file}: a number has too many digits, or brackets are nested too deeply") from None
    faults, values = [], {}
    for key, value in table.items():
        field = Settings.model_fields.get(key)
        if field is None:
            nearest = get_close_matches(key.lower().replace("-", "_"), Settings.model_fields, n=1, cutoff=0.7)
            name = key if key.isprintable() and len(key) <= _LONGEST_NAME else f"{key[:_LONGEST_NAME]!a}..."
            if isinstance(value, dict):
                hint = "; the file has no sections, each line is a setting"
            else:
                hint = f"; the nearest is {nearest[0]}" if nearest else ""
            faults.append(f"{file}: there is no setting {name}{hint}")
            continue
        try:
            values[key] = _as_variable(_kind(field), value, of_tables=str | dict if key == "models" else str)
        except ValueError as fault:
            faults.append(f"{key} in {file}: {fault}")
    if faults:
        raise SettingsRefused("; ".join(faults))
    return values


def _as_variable(kind: Any, value: object, of_tables: Any = str) -> str:
    """A TOML value, as it is written in an environment variable. `of_tables`: what a table may hold."""
    if isinstance(value, int) and abs(value) >= 2**63:  # TOML's limit, which tomllib does not know
        raise ValueError("is too large a number")
    if isinstance(value, str | bool | int | float):
        if "\0" in (text := _text(value)):
            raise ValueError("must not hold a NUL character")
        return text
    if kind is dict and isinstance(value, dict) and all(isinstance(item, of_tables) for item in value.values()):
        return json.dumps(value, default=str)  # what may be in a table of a table is checked with the setting
    if kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    also = {dict: ", or a table of strings", tuple: ", or a list of strings"}.get(kind, "")
    raise ValueError(f"must be a string, a number, true or false{also}")


def _text(value: str | bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _kind(field: FieldInfo) -> Any:
    """A field's type, without `| None` and without type arguments."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind if get_origin(kind) in (None, Literal) else get_origin(kind)


def _metavar(name: str, kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "NAME"
    return _METAVARS.get(kind, "URL" if name.endswith(("_url", "_endpoint", "_backend")) else "TEXT")
