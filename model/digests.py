"""SHA-256 of model files: names weights in cache keys, and catches a file that was cut short or swapped."""

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
    """12 hex digits that change when any of the digests, or their order, does."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an exported model says of its own files."""

    max_tokens: int
    """Most tokens of a text, the two special ones included."""
    sha256: dict[str, str]
    """Hex digest by file name."""

    def write(self, folder: Path) -> None:
        """Writes `manifest.json`."""
        (folder / MANIFEST).write_text(
            json.dumps({"max_tokens": self.max_tokens, "sha256": self.sha256}, indent=1) + "\n"
        )

    def verified(self, folder: Path, files: Iterable[str]) -> str:
        """The combined digest of files, once each was found to be what the manifest says.

        Raises:
            ModelNotFound: a file is not there.
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


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an exported model.

    Raises:
        ModelNotFound: there is none.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelNotFound(f"{path} is missing: {folder} holds no exported model")
    raw = json.loads(path.read_text())
    return Manifest(int(raw["max_tokens"]), dict(raw["sha256"]))
