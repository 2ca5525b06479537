"""The JSON body of a batch."""

from __future__ import annotations

import re

import msgspec
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from webapp.api.job_schemas import BatchRequest
from webapp.reading.json_values import parse_json, without_lone_surrogates
from webapp.reading.refusals import MalformedJson

SMALL_BYTES = 1024 * 1024
"""A body of at most this size is parsed whole, and all of its faults are found."""
_UNKNOWN = "Object contains unknown field "
_PLACE = re.compile(r"(.*?)(?: - at `\$\.?([^`]*)`)?", re.DOTALL)


class _Batch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    texts: list[str]
    callback_url: str | None = None
    model: str | None = None
    target: str | None = None
    sentences: bool = False


_DECODER = msgspec.json.Decoder(_Batch)


def read_batch(raw: bytes) -> BatchRequest:
    """The batch in a JSON body. In a large body only the first fault is found, and nothing after it is parsed:
    millions of lists in the place of texts would take seconds and hundreds of megabytes.

    Raises:
        MalformedJson: the body is not JSON.
        ValidationError: the body is not a batch of texts (pydantic's error).
    """
    if len(raw) <= SMALL_BYTES:
        return BatchRequest.read(parse_json(raw))
    try:
        batch = _decoded(raw)
    except msgspec.ValidationError as error:
        raise _fault(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedJson from None
    if not batch.texts:
        return BatchRequest.read(msgspec.structs.asdict(batch))
    # All but the texts is checked here, too.
    rest = BatchRequest.read(msgspec.structs.asdict(batch) | {"texts": [""]})
    return rest.model_copy(update={"texts": batch.texts})


def _decoded(raw: bytes) -> _Batch:
    try:
        return _DECODER.decode(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return _DECODER.decode(without_lone_surrogates(raw))


def _fault(told: str) -> ValidationError:
    """msgspec's error in pydantic's form: `Expected ... - at `$.texts[1]`` names the field `texts.1`."""
    message, place = told, ""
    if told.startswith(_UNKNOWN):
        message, place = "Extra inputs are not permitted", told.removeprefix(_UNKNOWN).strip("`")
    elif found := _PLACE.fullmatch(told):
        message, place = found[1], re.sub(r"\[(\d+)\]", r".\1", found[2] or "")
    fault = InitErrorDetails(type=PydanticCustomError("batch", "{told}", {"told": message}), loc=(place,), input=None)
    return ValidationError.from_exception_data("BatchRequest", [fault])
