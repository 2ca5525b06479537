"""What the page of the API says of the OpenAPI document: descriptions, examples, and shapes in a few words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from markupsafe import Markup, escape

_SHAPES = "#/components/schemas/"
_FORM = "multipart/form-data"
_EXAMPLES = {
    "text/csv": "text\nI loved it!\nNever again.\n",
    "text/tab-separated-values": "text\nI loved it!\nNever again.\n",
    "application/x-ndjson": '"I loved it!"\n{"text": "Never again.", "id": 7}\n',
    "text/plain": "I loved it!\nNever again.\n",
}


@dataclass(frozen=True, slots=True)
class Body:
    """One type of body that an operation takes."""

    mimetype: str
    says: str
    shape: Markup
    example: str
    is_form: bool
    is_file: bool
    """Whether it may be a file; a form always is one."""


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of a tag."""

    name: str
    says: str
    operations: list[dict[str, Any]]


def groups(document: Mapping[str, Any]) -> list[Group]:
    """The operations by their tags, in the document's order, each with its method, path and bodies."""
    found = []
    for tag in document["tags"]:
        operations = [
            one
            | {"method": method.upper(), "path": path, "bodies": list(_bodies(document, one))}
            | {"parameters": [given | {"schema": _named(document, given["schema"])} for given in _parameters(one)]}
            for path, methods in document["paths"].items()
            for method, one in methods.items()
            if tag["name"] in one["tags"]
        ]
        found.append(Group(tag["name"], tag["description"], operations))
    return found


def _bodies(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Body]:
    for mimetype, media in operation.get("requestBody", {}).get("content", {}).items():
        schema = media["schema"]
        yield Body(
            mimetype,
            schema.get("description", ""),
            shape(schema),
            _EXAMPLES.get(mimetype) or _example(document, schema),
            is_form=mimetype == _FORM,
            is_file=mimetype == _FORM or schema.get("format") == "binary",
        )


def _parameters(operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = operation.get("parameters", [])
    return found


def _named(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or the one that it refers to by its name."""
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].removeprefix(_SHAPES)]
    return found


def _example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The example of a body of JSON; of several shapes, that of the first."""
    while (named := _named(document, schema)) != schema or "anyOf" in schema:
        schema = named["anyOf"][0] if "anyOf" in named else named
    examples = schema.get("examples", [{}])
    return orjson.dumps(examples[0], option=orjson.OPT_INDENT_2).decode()


def told(text: str) -> Markup:
    """A description, in which what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    words = [Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)]
    return Markup("").join(words)


def shape(schema: Mapping[str, Any]) -> Markup:
    """A schema in a few words, with links to the shapes that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SHAPES)
        return Markup('<a href="#shape-{0}"><code>{0}</code></a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(dict.fromkeys(shape(one) for one in schema["anyOf"]))
    if "const" in schema:
        return Markup("<code>{}</code>").format(_json(schema["const"]))
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(_json(one)) for one in schema["enum"])
    kind = schema.get("type", "any value")
    if kind == "array":
        return Markup("list of {}").format(shape(schema.get("items") or {}))
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return Markup("object of {}").format(shape(schema["additionalProperties"]))
    if isinstance(kind, list):
        return Markup(" or ").join(map(escape, kind))
    return escape("file" if schema.get("format") == "binary" else kind)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def choices(schema: Mapping[str, Any]) -> list[str]:
    """The values that a parameter may have; empty if it may have many."""
    for one in schema.get("anyOf", [schema]):
        if "enum" in one:
            return [str(value) for value in one["enum"]]
        if "const" in one:
            return [str(one["const"])]
        if one.get("type") == "boolean":
            return ["true", "false"]
    return []


def is_list(schema: Mapping[str, Any]) -> bool:
    """Whether a parameter may be given several times."""
    return any(one.get("type") == "array" for one in schema.get("anyOf", [schema]))
