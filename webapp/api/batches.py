"""The JSON body of a batch."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tasks.jobs.job import Entry
from webapp.api.job_schemas import BatchRequest
from webapp.reading.json_files import read_array
from webapp.reading.json_objects import Objects
from webapp.reading.json_values import parse_json, without_lone_surrogates
from webapp.reading.refusals import MalformedJson
from webapp.reading.texts import Found, Limits, Options, Texts

SMALL_BYTES = 1024 * 1024
"""A body of at most this size is parsed whole, and all of its faults are found."""
_UNKNOWN = "Object contains unknown field "
_PLACE = re.compile(r"(.*?)(?: - at `\$\.?([^`]*)`)?", re.DOTALL)


_Some = TypeVar("_Some")
_AN_OBJECT = re.compile(r"Expected `str`, got `object` - at `\$\.texts\[\d+\]`")


class _Rest(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    callback_url: str | None = None
    model: str | None = None
    target: str | None = None
    sentences: bool = False


class _Batch(_Rest):
    texts: list[str]


class _RawBatch(_Rest):
    texts: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Batch)
_RAW = msgspec.json.Decoder(_RawBatch)


def read_batch(raw: bytes, options: Options, limits: Limits) -> Texts:
    """The texts of the batch in a JSON body, with what it says besides them. In a large body only the first fault is
    found, and nothing after it is parsed: millions of lists in the place of texts would take seconds and hundreds of
    megabytes.

    Raises:
        MalformedJson: the body is not JSON.
        ValidationError: the body is not a batch of texts (pydantic's error).
        UploadRefused: here, or while the entries are iterated: an object among the texts cannot be read.
    """
    if len(raw) <= SMALL_BYTES:
        return batch_texts(parse_json(raw), options)
    objects: msgspec.Raw | None = None
    try:
        try:
            batch = _decoded(_DECODER, raw)
            told, texts = msgspec.structs.asdict(batch), batch.texts
        except msgspec.ValidationError as error:
            if _AN_OBJECT.fullmatch(str(error)) is None:
                raise
            told, texts = msgspec.structs.asdict(found := _decoded(_RAW, raw)), [""]
            objects = found.texts
    except msgspec.ValidationError as error:
        raise _fault(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedJson from None
    # All but the texts is checked here, too; and that there are any.
    rest = BatchRequest.read(told | {"texts": texts[:1]})
    if objects is None:
        return _told(rest, _strings(texts))
    return _told(rest, read_array(iter([bytes(objects)]), options, limits, Found()))


def batch_texts(value: object, options: Options) -> Texts:
    """The same of a JSON value, all faults of which are found."""
    texts = value.get("texts") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(texts, list) and any(isinstance(text, dict) for text in texts):
        rest = BatchRequest.read(value | {"texts": [""]})
        return _told(rest, Objects(options, Found(), None).texts(enumerate(texts, 1)))
    batch = BatchRequest.read(value)
    return _told(batch, _strings(batch.texts))


def _strings(texts: list[str]) -> Texts:
    return Texts((position, Entry(text)) for position, text in enumerate(texts, 1))


def _told(batch: BatchRequest, texts: Texts) -> Texts:
    """Texts with what the batch says besides them."""
    given = {"callback_url": batch.callback_url, "model": batch.model, "target": batch.target}
    texts.options = {name: value for name, value in given.items() if value is not None}
    if batch.sentences:
        texts.options["sentences"] = "true"
    return texts


def _decoded(decoder: msgspec.json.Decoder[_Some], raw: bytes) -> _Some:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decoder.decode(without_lone_surrogates(raw))


def _fault(told: str) -> ValidationError:
    """msgspec's error in pydantic's form: `Expected ... - at `$.texts[1]`` names the field `texts.1`."""
    message, place = told, ""
    if told.startswith(_UNKNOWN):
        message, place = "Extra inputs are not permitted", told.removeprefix(_UNKNOWN).strip("`")
    elif found := _PLACE.fullmatch(told):
        message, place = found[1], re.sub(r"\[(\d+)\]", r".\1", found[2] or "")
    fault = InitErrorDetails(type=PydanticCustomError("batch", "{told}", {"told": message}), loc=(place,), input=None)
    return ValidationError.from_exception_data("BatchRequest", [fault])
