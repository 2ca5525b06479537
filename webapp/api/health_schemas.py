"""`/health` and `/model` as the API documents them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from webapp.api.schemas import Absent, Asked, Label, ModelName


class LiveResponse(BaseModel):
    """The process answers."""

    status: Literal["alive"]


Form = Annotated[
    str | None,
    Field(
        description="How the model is computed: a graph in `int8`, `bf16` or `fp32`; `pipeline...` for torch; `stub`."
        " Null if its worker is of an earlier version."
    ),
]


WorkerRole = TypeAliasType("WorkerRole", Literal["interactive", "batch"])


class HealthGate(BaseModel):
    """What was found when the compiled model was compared with torch in fp32."""

    labels_equal: Annotated[float, Field(ge=0, le=1, description="The share of texts with the same label.")]
    speedup: Annotated[float, Field(ge=0, description="How many times as fast it is.")]


class WorkerResponse(BaseModel):
    """A worker that is ready."""

    role: WorkerRole
    model: str
    device: str
    name: Annotated[
        str | Absent,
        Field(description="Of a service with several models: the name of the one that the worker serves, or `*`."),
    ] = None
    texts_per_s: Annotated[
        float,
        Field(
            description="Tweets that its engine scores in a second: measured at its start, then by the work it does."
        ),
    ]
    form: Form
    gate: Annotated[
        HealthGate | None, Field(description="If the model was compiled here: what the comparison with torch found.")
    ]


class CompilingResponse(BaseModel):
    """A worker that will be ready when its model is compiled."""

    role: WorkerRole
    model: str
    step: Annotated[str, Field(examples=["converting", "quantising", "checking"])]
    percent: Annotated[int | None, Field(ge=0, le=100, description="How much of the step is done, where it is known.")]
    seconds: Annotated[float, Field(ge=0, description="Since the worker began, or began to wait for another one.")]


class HealthResponse(BaseModel):
    """What the service needs, and whether it is there at this moment."""

    status: Literal["ready", "unready"]
    redis: Literal["up", "down"]
    workers: list[WorkerResponse]
    compiling: Annotated[
        list[CompilingResponse], Field(description="Workers that are not ready yet because they compile their model.")
    ]
    missing: Annotated[
        list[str],
        Field(
            description="What is missing for the service to be ready; also workers of models other than `*`, without"
            " which it is ready."
        ),
    ]


Role = Literal["web", "interactive", "batch"]


class ReadyQuery(Asked):
    """Whose readiness is asked."""

    role: Annotated[
        Role | None,
        Field(
            description="What has to be there for `ready`: `web`: Redis alone; `interactive` or `batch`: also a worker"
            " of that role. Without it: Redis and a worker of each role. `missing` lists what is missing for that."
        ),
    ] = None


class ModelQuery(Asked):
    """Which model to describe."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None


Percent = Annotated[float, Field(ge=0, le=100)]


class Recall(BaseModel):
    """The share of each class's texts that got its label, in per cent."""


class FileFigures(BaseModel):
    """Figures of one labelled file, in per cent."""

    data: Annotated[str, Field(description="Which texts these are.")]
    split: Annotated[
        Literal["dev", "test"],
        Field(description="Choices were made by the `dev` files while the model was developed, none by `test`."),
    ]
    texts: int
    macro_recall: Annotated[Percent, Field(description="The mean of the classes' recalls.")]
    macro_f1: Percent
    accuracy: Percent
    ece: Annotated[
        Percent, Field(description="Expected calibration error: how far confidence is from the share of right answers.")
    ]
    recall: Recall


class ModelClass(BaseModel):
    """A class of the model, and the label that it counts as."""

    name: str
    label: Label


class ModelTrial(BaseModel):
    """A compiled form of the model that was compared with torch in fp32, on texts of Sentiq's own."""

    form: Literal["int8", "bf16", "fp32"]
    passed: bool
    reason: Annotated[str, Field(description="Why it was turned down; empty if it passed.")]
    texts: Annotated[int, Field(ge=0, description="0 if it could not be made.")]
    labels_equal: Annotated[float, Field(ge=0, le=1, description="The share of texts with the same label.")]
    largest_margin: Annotated[
        float,
        Field(ge=0, description="Of texts with another label: how far apart torch's two highest scores are at most."),
    ]
    mean_difference: Annotated[float, Field(ge=0, description="The mean absolute difference of a score.")]
    alone_difference: Annotated[
        float, Field(ge=0, description="The largest difference between a text's scores alone and in a batch.")
    ]
    speedup: Annotated[float, Field(ge=0, description="Texts per second, divided by those of torch in fp32.")]


class ModelResponse(BaseModel):
    """The model that answers. From `name` on, its workers tell it: null until one has been ready."""

    model: Annotated[str | None, Field(description="The model's identity; null until a worker has been ready.")]
    labels: list[Label]
    figures: Annotated[
        list[FileFigures], Field(description="Measured figures; empty for any model other than the embedded one.")
    ]
    name: str | None
    form: Form
    classes: Annotated[
        list[ModelClass] | None, Field(description="The model's own classes, in the order of its outputs.")
    ]
    guessed: Annotated[
        bool | None,
        Field(description="Whether the meaning of its classes is only likely: `LABEL_0`, ... without a LABEL_MAP."),
    ]
    two_class: Annotated[
        bool | None, Field(description="Whether no class of the model counts as one of the labels, whose score is 0.")
    ]
    calibrated: Annotated[
        bool | None, Field(description="Whether scores were fitted to the shares of right answers (a temperature).")
    ]
    languages: Annotated[
        list[str] | None, Field(description="The languages that it reads, ISO 639-1; empty if that is unknown.")
    ]
    uncertain_below: Annotated[
        float | None, Field(description="The confidence below which an answer is `uncertain`; null for never.")
    ]
    max_tokens: Annotated[int | None, Field(description="The tokens of a text that are read; null if all are.")]
    gate: Annotated[
        list[ModelTrial] | None,
        Field(
            description="The compiled forms that were tried, the fastest first; empty if the model was not compiled."
        ),
    ]
