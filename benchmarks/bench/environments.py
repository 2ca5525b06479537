"""The virtual environments of the systems that Sentiq is compared with, from `benchmarks/requirements/`; each is made
when it is first needed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.services import ROOT

FOLDERS = {"baseline": ".venv-bench", "litserve": ".venv-bench", "infinity": ".venv-bench-infinity"}
_LIMIT_S = 900
"""The time limit for one installation; what takes longer counts as not installable."""


class NotInstalled(Exception):
    """An environment could not be installed; the message is the end of the installer's output."""


def python_of(name: str) -> Path:
    """The Python of the environment with `benchmarks/requirements/NAME.txt`. Raises NotInstalled."""
    wanted = ROOT / "benchmarks" / "requirements" / f"{name}.txt"
    folder = ROOT / FOLDERS[name]
    python, stamp = folder / "bin" / "python", folder / f".{name}"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"Installing {name} into {folder.name}; once, a minute or a few.", flush=True)
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # torch is installed by pip, which takes a build without CUDA if one is at hand; the rest by uv, which is faster, if
    # that works.
    _run([*pip, "uv", *(line for line in wanted.read_text().splitlines() if line.startswith("torch=="))])
    uv = [str(python.with_name("uv")), "pip", "install", "--quiet", "--compile-bytecode"]
    try:
        _run([*uv, "--python", str(python), "--requirement", str(wanted)])
    except NotInstalled:
        _run([*pip, "--requirement", str(wanted)])
    stamp.write_text(digest)
    return python


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"installing took longer than {_LIMIT_S} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise NotInstalled(said[-1] if said else f"the installer ended with status {done.returncode}")
