"""Where a model comes from: the embedded one, a folder, or the Hugging Face hub, which is asked without torch."""

from __future__ import annotations

from pathlib import Path

from model.errors import ModelNotFound

DEFAULT = "default"
"""The name of the embedded model."""
DEFAULT_FOLDER = Path(__file__).parent / "default"


def local_folder(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """The folder that holds a model's files; for a name on the hub, those that fit the patterns are fetched.

    Raises:
        ModelNotFound: there is no such model, or it cannot be reached.
    """
    if name == DEFAULT:
        return DEFAULT_FOLDER
    if Path(name).is_dir():
        return Path(name)
    if is_path(name):
        raise ModelNotFound(f"there is no folder {name}")
    try:
        from huggingface_hub import snapshot_download  # an image of the web has no such library

        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns), ignore_patterns=["*/*"]))
    except Exception as error:  # of any kind: the library passes on what its HTTP client raises
        why = " ".join(str(error).split())
        raise ModelNotFound(f"{name} is no folder here, and was not found on the Hugging Face hub: {why}") from error


def is_path(name: str) -> bool:
    """Whether a model's name can only be a folder: on the hub it is NAME or OWNER/NAME."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or name.endswith("/")


def is_local(name: str) -> bool:
    return name == DEFAULT or Path(name).is_dir()


def short_name(name: str) -> str:
    """The name as callers may see it: for a local folder, its last component only."""
    return Path(name).resolve().name if Path(name).is_dir() else name
