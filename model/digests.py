"""SHA-256 digests of model files: they identify the weights in cache keys and reveal a truncated or swapped file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from model.description import Description, Trial
from model.errors import ModelNotFound, ModelRefused

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """The hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined(digests: Iterable[str]) -> str:
    """One digest of several, as 12 hex digits: it changes when any of them or their order changes."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]


_READINGS = {0: (), 1: ("emoji in words, 1",)}
"""Stand for `model.reading` in digests: the number at the end grows when a text is read otherwise, so that no old
answer is used."""


def of_reading(reading: int) -> tuple[str, ...]:
    """What the reading of an exported model adds to its digest."""
    return _READINGS.get(reading, (f"reading {reading}, 1",))


@dataclass(frozen=True, slots=True)
class Usage:
    """How a compiled graph is fed, and what becomes of its output."""

    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    """The graph's inputs, in their order: these two, and `token_type_ids` where the model has them."""
    padding: tuple[int, ...] = (0, 0)
    """For each of `inputs`, what a row is filled up with."""
    pad_left: bool = False
    """Whether rows are filled up at their beginning."""
    logits: bool = False
    """Whether the output is logits of the model's classes, and not probabilities of those of the analysis."""
    temperature: float = 1.0
    """What logits are divided by."""
    matrix: tuple[tuple[float, ...], ...] = ()
    """Turns the probabilities of the model's classes into those of the analysis."""
    precision: str = "f32"
    """The arithmetic of what is not int8."""
    own_lengths: bool = False
    """Whether texts are only scored with those that are padded to the same length.

    A text's score alone and in a batch is then the same to the last bit. With other padding, sums differ in their last
    bit, and now and then a number is rounded to another int8."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of an exported model's files with their digests, and how its graph is used (`manifest.json`)."""

    max_tokens: int
    """The most tokens of a text that the model reads, including the two special ones."""
    sha256: dict[str, str]
    """The hex digest of each file, by file name."""
    usage: Usage = Usage()
    description: Description | None = None
    """What is told of the model; None for an exported model, whose graph has the classes of the analysis."""
    reading: int = 0
    """The number of the way in which the model reads texts: see `model.reading`."""
    uncertain_below: float | None = None
    """The confidence below which an answer is called uncertain: see `benchmarks/certainty.py`."""

    def write(self, folder: Path) -> None:
        """Writes `manifest.json` into the folder."""
        content: dict[str, Any] = {"max_tokens": self.max_tokens, "sha256": self.sha256}
        if self.description is not None:
            content |= {"usage": asdict(self.usage), "description": asdict(self.description)}
        if self.reading == 1:
            content["emoji_words"] = True  # as manifests said it before there were several readings
        elif self.reading:
            content["reading"] = self.reading
        if self.uncertain_below is not None:
            content["uncertain_below"] = self.uncertain_below
        (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n")

    def verified(self, folder: Path, files: Iterable[str]) -> str:
        """Checks that each file has the digest that the manifest lists; returns their combined digest.

        Raises:
            ModelNotFound: a file is missing.
            ModelRefused: a file's digest differs.
        """
        digests = []
        for name in files:
            if not (folder / name).is_file():
                raise ModelNotFound(f"{folder / name} is missing: fetch or export the model again")
            digests.append(sha256(folder / name))
            if digests[-1] != self.sha256.get(name):
                raise ModelRefused(
                    f"{folder / name} differs from the file that {MANIFEST} lists: fetch or export the model again"
                )
        if self.usage != Usage():  # of an exported model, the files say everything
            digests.append(json.dumps(asdict(self.usage), sort_keys=True))
        return combined([*digests, *of_reading(self.reading)])


def find_manifest(folder: Path) -> Manifest | None:
    """The manifest of an exported model; None for a folder of another kind, whose `manifest.json` is not ours."""
    try:
        return read_manifest(folder)
    except (ModelNotFound, ValueError, KeyError, TypeError):
        return None


def stated_threshold(folder: Path) -> float | None:
    """The confidence below which an exported model's answers are uncertain; None for any other model."""
    manifest = find_manifest(folder)
    return None if manifest is None else manifest.uncertain_below


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of an exported or compiled model.

    Raises:
        ModelNotFound: the folder has no manifest.
        ValueError, KeyError, TypeError: it is none of ours, or damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelNotFound(f"{path} is missing: {folder} holds no exported model")
    raw = json.loads(path.read_text())
    most, digests = int(raw["max_tokens"]), dict(raw["sha256"])
    if "description" not in raw:
        below = raw.get("uncertain_below")
        return Manifest(
            most,
            digests,
            reading=int(raw.get("reading", bool(raw.get("emoji_words", False)))),
            uncertain_below=None if below is None else float(below),
        )
    return Manifest(most, digests, Usage(**known(Usage, raw["usage"])), read_description(raw["description"]))


def read_description(raw: Mapping[str, Any]) -> Description:
    """A description as `dataclasses.asdict` and JSON leave it."""
    read = known(Description, raw)
    return Description(**read | {"trials": tuple(Trial(**known(Trial, trial)) for trial in raw.get("trials", ()))})


def known(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows of a data class, lists as tuples."""
    names = {field.name for field in fields(kind)}
    return {name: _tuples(value) for name, value in raw.items() if name in names}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
