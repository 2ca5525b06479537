"""What is told of a model besides its identity: what its classes mean, how it is run, and what was checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """One form of a model that was tried by the gate: see `model.gate`."""

    form: str
    """`int8`, `bf16` or `fp32`."""
    passed: bool
    reason: str
    """Why it was turned down, in a sentence; empty if it passed."""
    texts: int = 0
    """The number of texts that were compared with torch in fp32; 0 if it could not even be made."""
    labels_equal: float = 0.0
    """The share of texts with the same label."""
    largest_margin: float = 0.0
    """Among the texts whose label differs, the largest distance between torch's two highest scores."""
    mean_difference: float = 0.0
    """The mean absolute difference of a score."""
    alone_difference: float = 0.0
    """The largest absolute difference between a text's scores alone and in a batch."""
    speedup: float = 0.0
    """Texts per second, divided by those of torch in fp32, both in the same batches."""


@dataclass(frozen=True, slots=True)
class Description:
    """What `/model` says of a model."""

    form: str
    """How it is computed: `int8`, `bf16`, `fp32` (a compiled graph), `pipeline`, `pipeline-bf16`, ..., or `stub`."""
    names: tuple[str, ...] = ()
    """The model's own class names, in the order of its outputs."""
    mapped: tuple[str, ...] = ()
    """For each of `names`, the class of the analysis that it counts as."""
    guessed: bool = False
    """Whether the meaning of the names was guessed: `LABEL_0`, `LABEL_1`, ... without a `LABEL_MAP`."""
    two_class: bool = False
    """Whether no class of the model counts as one of the analysis's classes, whose score is then always 0."""
    calibrated: bool = False
    """Whether the logits are divided by a temperature that was fitted on validation texts."""
    max_tokens: int = 0
    """The most tokens of a text that are read; 0 if the engine has no such limit."""
    languages: tuple[str, ...] = ()
    """The languages that it reads, ISO 639-1; empty if that is unknown: then no text is refused for its language."""
    uncertain_below: float | None = None
    """The confidence below which an answer is called uncertain; None for never."""
    trials: tuple[Trial, ...] = ()
    """What the gate found, the fastest form first; empty for a model that was not compiled here."""
