"""What the documents promise exists, and what exists is documented."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from flask import Flask
from jsonschema_rs import Draft202012Validator

import webapp.front.errors
from model.engines.stub import StubEngine
from model.labels import SENTIMENT
from tasks.errors import SentimentError
from tasks.jobs.job import NOT_ALWAYS, TOLD, TOLD_AT_THE_END, Entry, Job, Line, job_facts
from tasks.settings import Settings
from tasks.store.outcomes import Failed, Scored
from tasks.streams.shifts import Shift, shift_facts
from tasks.work.delivery import standard_headers
from tests.support.web import web_application
from webapp.api.callback_schemas import EndedJob
from webapp.api.job_schemas import JobLinks, JobResponse
from webapp.api.openapi import openapi_document
from webapp.api.result_schemas import LineResponse
from webapp.api.results import line_body
from webapp.launch.options import flags
from webapp.launch.processes import PROCESSES

ROOT = Path(__file__).resolve().parents[2]
CODE = [path for folder in ("webapp", "tasks", "model") for path in sorted((ROOT / folder).rglob("*.py"))]


def settings_table() -> list[str]:
    """The names in the README's table of settings."""
    section = (ROOT / "README.md").read_text().split("\n## Settings", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)]


def test_every_setting_is_in_the_readme() -> None:
    """The README's table has the name of every setting once, and no others."""
    table = settings_table()
    assert sorted(table) == sorted(name.upper() for name in Settings.model_fields)


def test_settings_are_grouped_as_in_the_help() -> None:
    """The README has the same groups of settings as `sentiq serve --help`, with the same settings in the same order."""
    section = (ROOT / "README.md").read_text().split("\n## Settings", 1)[1].split("\n## ", 1)[0]
    told = {
        title: re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", body, re.MULTILINE)
        for title, body in re.findall(r"^### (.+)\n((?:(?!###).*\n)*)", section, re.MULTILINE)
    }
    groups: dict[str, list[str]] = {}
    for flag in flags():
        if flag.name in Settings.model_fields:
            groups.setdefault(get_args(flag.annotation)[1].rich_help_panel, []).append(flag.name.upper())
    assert list(told.items()) == list(groups.items())


def test_examples_of_a_job_and_its_lines() -> None:
    """docs/api.md shows a job and lines with the fields that they have, in their order."""
    section = (ROOT / "docs" / "api.md").read_text().split("\n## A job and a line", 1)[1].split("\n## ", 1)[0]
    job, done, failed = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL))
    assert list(job) == [*(name for name in TOLD if name not in NOT_ALWAYS), "links", "calibrated"]
    JobResponse.model_validate_json(json.dumps(job), strict=True)
    assert (job["links"].keys(), job["labels"].keys()) == (JobLinks.model_fields.keys(), set(SENTIMENT.classes))
    shown = (
        Line(0, Entry("x", "a1"), Scored((0.1, 0.2, 0.7), truncated=False), "m", cached=False),
        Line(1, Entry(""), Failed("empty_text"), None, cached=False),
    )
    for example, line in zip((done, failed), shown, strict=True):
        assert list(example) == list(line_body(None, line, SENTIMENT.classes, lambda identity: {"calibrated": True}))
        LineResponse.model_validate_json(json.dumps(example), strict=True)


def test_readme_defaults() -> None:
    """Plain defaults in the README's table are those of the code."""
    section = (ROOT / "README.md").read_text().split("\n## Settings", 1)[1].split("\n## ", 1)[0]
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| `([^`]*)` \|", section, re.MULTILINE))
    assert rows
    for name, default in rows.items():
        actual = Settings.model_fields[name.lower()].default
        if actual is not None and actual != {}:
            assert (
                str(actual) == default.replace("_", "") if isinstance(actual, int | float) else str(actual) == default
            ), name


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_read(name: str) -> None:
    """Each setting is read somewhere: by the code, by a property of the settings that the code reads, or when all
    settings are loaded.
    """
    others = [path.read_text() for path in CODE if path.name != "settings.py"]
    others.append((ROOT / "tasks" / "settings.py").read_text().partition("\ndef load_settings")[2])
    reads = re.compile(rf"settings\.{name}\b")
    if any(reads.search(text) for text in others):
        return
    source = (ROOT / "tasks" / "settings.py").read_text()
    properties = re.findall(r"    def (\w+)\(self\b[^\n]*\n((?:        .*\n|\n)+)", source)

    def readers(field: str) -> set[str]:
        found = {prop for prop, body in properties if re.search(rf"self\.{field}\b", body)}
        return found | {further for prop in found if prop != field for further in readers(prop)}

    assert any(re.search(rf"settings\.{prop}\b", text) for prop in readers(name) for text in others)


def every_error() -> set[type[SentimentError]]:
    """All classes of errors that a caller may get."""
    found: set[type[SentimentError]] = set()
    todo = [SentimentError]
    while todo:
        for kind in todo.pop().__subclasses__():
            found.add(kind)
            todo.append(kind)
    return found


def test_every_error_has_a_status() -> None:
    """Each error class has exactly one status in the table, by itself or by its base class."""
    for kind in every_error():
        assert any(issubclass(kind, known) for known in webapp.front.errors.STATUS), kind.__name__
    assert set(webapp.front.errors.STATUS) <= every_error()


def test_error_codes() -> None:
    """Each error class has a code of its own that matches its name, and a sentence that describes it."""
    codes = {kind: kind.code for kind in every_error()}
    assert len(set(codes.values())) == len(codes)
    for kind, code in codes.items():
        assert code == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        assert kind.__doc__


def test_error_codes_are_documented() -> None:
    """docs/api.md lists each code that a caller may get."""
    table = (ROOT / "docs" / "api.md").read_text().split("\n## Errors", 1)[1]
    for code in [kind.code for kind in every_error() if not kind.__subclasses__()] + [
        "malformed_json",
        "invalid_field",
        "internal_error",
    ]:
        assert f"`{code}`" in table, code


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    """The application, on a server that is not there."""
    with web_application(Settings(redis_url="unix:///nowhere/valkey.sock")) as found:
        yield found


def test_routes_and_document_agree(app: Flask) -> None:
    """The OpenAPI document has every address with its methods, except pages and their files, and no others."""
    undocumented = {"/docs", "/redoc", "/openapi.json", "/assets/redoc/{file}"}
    routes = {
        (re.sub(r"<(?:[^:<>]*(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("pages.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method) for path, operations in openapi_document()["paths"].items() for method in operations}
    assert {(path, method) for path, method in routes if path not in undocumented} == documented


def test_document_examples_are_valid() -> None:
    """Every reference in the document has its target, every schema is valid, and its examples fit it."""
    document = openapi_document()
    schemas = document["components"]["schemas"]
    for reference in set(re.findall(r"'\$ref': '([^']+)'", str(document))):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for name, schema in schemas.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        validator = Draft202012Validator(whole)
        for example in schema.get("examples", []):
            validator.validate(example)


def test_operations_have_names() -> None:
    """Each operation has a unique id, a summary and a tag, which generators of clients need."""
    operations = [operation for methods in openapi_document()["paths"].values() for operation in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert all(operation["summary"] and operation["tags"] for operation in operations)


def test_callbacks_are_as_documented() -> None:
    """What is posted when a job has ended, and for a shift, is as the document says, with all fields; the headers that
    sign it are documented.
    """
    document = openapi_document()
    told: dict[str, Any] = {"target": "x", "requested_model": "de", "stream": "1", "stream_name": "debate"}
    job = Job(id="0" * 32, created_at=1.0, expires_at=2.0, chunk_size=64, window=4, sealed=3.0, finished_at=4.0, **told)
    facts: dict[str, Any] = {one.name: "a" if one.name in ("segment", "sentence") else 1 for one in fields(Shift)}
    shift = Shift(**facts)
    posted = {
        "JobEnded": {"event": "job.ended", "job": job_facts(job, TOLD_AT_THE_END)},
        "ShiftFound": {"event": "stream.shift", "stream": "debate", "shift": shift_facts(shift)},
    }
    for name, body in posted.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(whole).validate(json.loads(json.dumps(body)))
    assert set(TOLD_AT_THE_END) == EndedJob.model_fields.keys()
    headers = standard_headers("a secret of some length", "id", 1, b"{}").keys()
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    groups = [group for one in operations for group in one.get("callbacks", {}).values()]
    posts = [path["post"] for group in groups for path in group.values()]
    assert len(posts) == 3
    assert all({parameter["name"] for parameter in post["parameters"]} == headers for post in posts)


def test_document_for_generators() -> None:
    """What generators of clients stumble over is not in the document: fields with a default, which they take for ones
    that are always there; several types in one place; queries and fields of answers that may be null and left out
    although they are never null; errors of another type than problem+json.
    """
    document = openapi_document()
    schemas = document["components"]["schemas"]

    def parts(schema: object) -> Iterator[dict[str, object]]:
        if isinstance(schema, dict):
            yield schema
        for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
            yield from parts(inner)

    properties = [field for schema in schemas.values() for field in schema.get("properties", {}).values()]
    assert not [field for field in properties if "default" in field]
    assert not [part for part in parts(document) if isinstance(part.get("type"), list)]
    null = {"type": "null"}
    for name in ("PredictionResponse", "JobResponse", "Problem", "WorkerResponse", "StreamResponse", "ReportedBucket"):
        optional = schemas[name]["properties"].keys() - {*schemas[name]["required"], "owner"}
        assert not [field for field in optional if null in schemas[name]["properties"][field].get("anyOf", [])], name
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    for operation in operations:
        for parameter in operation.get("parameters", []):
            assert null not in parameter["schema"].get("anyOf", [])
        for status, answer in operation["responses"].items():
            if status >= "400" and answer["content"].keys() != {"application/json"}:  # what /health says as 503
                assert answer["content"].keys() == {"application/problem+json"}


@pytest.mark.parametrize("has_keys", [True, False])
def test_padlocks(has_keys: bool) -> None:
    """Where callers need keys, each operation but those of health says so; elsewhere none does."""
    document = openapi_document(has_keys=has_keys)
    locked = {path for path, methods in document["paths"].items() if all("security" in one for one in methods.values())}
    assert locked == ({path for path in document["paths"] if not path.startswith("/health")} if has_keys else set())
    assert ("securitySchemes" in document["components"]) is has_keys


def test_procfile() -> None:
    """The Procfile starts the same three processes as the launcher, and what they run exists."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert set(lines) == {"interactive", "batch", "web"}
    for command in lines.values():
        words = shlex.split(command)
        assert words[:2] == ["python", "-m"]
        assert find_spec(words[2]) is not None
    assert {name: tuple(command.split()[1:]) for name, command in lines.items()} == PROCESSES


def test_stub_has_the_labels_of_the_document() -> None:
    """The stub engine's labels are those that the API promises."""
    from model.labels import LABELS

    assert openapi_document()["components"]["schemas"]["Scores"]["required"] == list(LABELS)
    assert StubEngine().score(["x"]).probabilities.shape == (1, len(LABELS))
