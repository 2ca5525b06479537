"""SHA-256 digests of model files: they identify the weights in cache keys and reveal a truncated or swapped file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelNotFound, ModelRefused

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """The hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined(digests: Iterable[str]) -> str:
    """One digest of several, as 12 hex digits: it changes when any of them or their order changes."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of an exported model's files with their digests (`manifest.json`)."""

    max_tokens: int
    """The most tokens of a text that the model reads, including the two special ones."""
    sha256: dict[str, str]
    """The hex digest of each file, by file name."""

    def write(self, folder: Path) -> None:
        """Writes `manifest.json` into the folder."""
        (folder / MANIFEST).write_text(
            json.dumps({"max_tokens": self.max_tokens, "sha256": self.sha256}, indent=1) + "\n"
        )

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
        return combined(digests)


def find_manifest(folder: Path) -> Manifest | None:
    """The manifest of an exported model; None for a folder of another kind, whose `manifest.json` is not ours."""
    try:
        return read_manifest(folder)
    except (ModelNotFound, ValueError, KeyError, TypeError):
        return None


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of an exported model.

    Raises:
        ModelNotFound: the folder has no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelNotFound(f"{path} is missing: {folder} holds no exported model")
    raw = json.loads(path.read_text())
    return Manifest(int(raw["max_tokens"]), dict(raw["sha256"]))
