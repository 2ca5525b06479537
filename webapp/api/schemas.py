"""What the requests and responses that the API documents are made of. They serve HTTP alone; the packages below have
their own types.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from model.target import MOST_CHARS, is_target
from webapp.front.errors import MOST_FAULTS

REF = "#/components/schemas/{model}"
"""Where the OpenAPI document has a model."""

Label = TypeAliasType("Label", Annotated[str, WithJsonSchema({"enum": [], "type": "string"})])
"""A class of the analysis; `webapp.api.openapi` fills in the names."""

Absent = SkipJsonSchema[None]
"""In an answer: the None of a field that is left out then, and never null."""


TextId = TypeAliasType("TextId", str | int)
"""What a caller calls a text."""


TextTime = TypeAliasType(
    "TextTime",
    Annotated[str | int | float, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})],
)
"""When a text was written: ISO 8601, or Unix seconds."""


Score = Annotated[float, Field(ge=0, le=1)]


ModelName = Annotated[
    str | None,
    Field(description="The name of a model of this service, where it has several. Default: the service's own choice."),
]


Calibrated = Annotated[
    bool | Absent,
    Field(
        description="Whether the model's scores were fitted to the shares of right answers. Not there while that is not"
        " known: no worker of this model has been ready lately."
    ),
]


TwoClass = Annotated[
    Literal[True] | Absent,
    Field(description="Only there if the model cannot give one of the labels, whose score is then always 0."),
]


def _named(target: str | None) -> str | None:
    if target is None or is_target(target):
        return target
    raise PydanticCustomError(
        "not_a_target", "must have a letter or digit, and at most {most} characters", {"most": MOST_CHARS}
    )


Target = Annotated[
    str | None,
    AfterValidator(_named),
    Field(
        description="What the text is scored towards, such as a person or product: only the parts that are about it are"
        " scored. A text that does not name it has no label, and the warning `not_mentioned`."
    ),
]


WithSentences = Annotated[bool, Field(description="Answer each sentence, too. Each counts as a text.")]


class Asked(BaseModel):
    """A request's body or query."""

    @classmethod
    def read(cls, value: object) -> Self:
        """Checks a JSON value. At most MOST_FAULTS of its unknown fields are looked at: pydantic makes an error for
        each one, which costs far more time and memory than parsing it.

        Raises:
            ValidationError: the value has faults (pydantic's error).
        """
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + MOST_FAULTS:
            known = {name: value[name] for name in cls.model_fields if name in value}
            others = islice((name for name in value if name not in known), MOST_FAULTS)
            value = known | dict.fromkeys(others)
        return cls.model_validate(value)


class Request(Asked):
    example: ClassVar[dict[str, Any]]

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, body: object) -> object:
        if isinstance(body, dict):
            return body
        raise PydanticCustomError(
            "not_an_object", "must be an object like {example}", {"example": orjson.dumps(cls.example).decode()}
        )


class FieldFault(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """An error, RFC 9457. `code` is stable; `detail` is meant for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    line: Annotated[int | Absent, Field(description="For an upload: the number of the line at fault, from 1.")] = None
    errors: Annotated[list[FieldFault] | Absent, Field(description="Each field at fault, 20 at the most.")] = None
