"""Loads models in processes of their own, which say what they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.stack import ROOT

_LOAD = """
import json, logging, os, sys
from pathlib import Path
os.umask(0o077)
asked = json.loads(sys.argv[1])
if asked["hidden"]:
    sys.modules |= dict.fromkeys(("torch", "transformers", "nncf"))
logging.basicConfig(stream=sys.stdout, format='{"level": "%(levelname)s"} %(message)s')
from model.compiling import Compiling
from model.engines.registry import load_engine
from model.errors import ModelError

def tell(step, share):
    print(json.dumps({"step": step, "share": share}), flush=True)

given = asked["calibration"]
how = Compiling(Path(asked["store"]), asked["mode"], asked["max_bytes"], Path(given) if given else None)
try:
    engine = load_engine(
        asked["model"], engine=asked["engine"], device="cpu", threads=1, batch_size=8, compiling=how, progress=tell
    )
except ModelError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    sys.exit()
engine.warm()
description = engine.description
print(json.dumps({
    "identity": engine.identity,
    "form": description.form,
    "calibrated": description.calibrated,
    "names": description.names,
    "trials": [[trial.form, trial.passed, trial.reason, trial.texts] for trial in description.trials],
    "scores": engine.score(asked["texts"]).probabilities.tolist(),
    "loaded": [name for name in ("torch", "transformers", "nncf", "scipy") if sys.modules.get(name) is not None],
}), flush=True)
if asked["stay"]:
    sys.stdin.read()
"""


def arguments(
    model: Path,
    store: Path,
    *,
    mode: str = "auto",
    engine: str = "auto",
    texts: Sequence[str] = (),
    hidden: bool = False,
    stay: bool = False,
    max_bytes: int = 1 << 30,
    calibration: Path | None = None,
) -> list[str]:
    """The command of a process that loads a model.

    Args:
        model: its folder.
        store: where compiled models are kept.
        mode: `COMPILE`.
        engine: `ENGINE`.
        texts: are scored.
        hidden: torch, transformers and NNCF are not installed.
        stay: the process ends when its standard input does.
        max_bytes: `COMPILED_CACHE_BYTES`.
        calibration: `CALIBRATION_TEXTS`.
    """
    asked = {
        "model": str(model),
        "store": str(store),
        "mode": mode,
        "engine": engine,
        "texts": list(texts),
        "hidden": hidden,
        "stay": stay,
        "max_bytes": max_bytes,
        "calibration": str(calibration) if calibration is not None else None,
    }
    return [sys.executable, "-c", _LOAD, json.dumps(asked)]


class Loading:
    """A process that loads a model."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.steps: list[str] = []
        """Each step once, in their order."""
        self.log: list[str] = []
        """What it logged."""
        self.found: dict[str, Any] = {}
        """What became of it."""

    def read_until(self, step: str | None = None) -> None:
        """Reads what the process says until it says this step, or else until it has loaded the model."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"step"'):
                said = json.loads(line)["step"]
                if said not in self.steps:
                    self.steps.append(said)
                if said == step:
                    return
            elif line.startswith(('{"identity"', '{"error"')):
                self.found = json.loads(line)
                if step is None:
                    return
            else:
                self.log.append(line.partition("} ")[2].strip())
        assert step is None, f"it ended before {step}: {self.found or self.log}"

    def makers(self) -> list[int]:
        """The processes that it has started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in path.read_text().split()]


@contextmanager
def loading(model: Path, store: Path, **how: Any) -> Iterator[Loading]:
    """A process that loads a model (see `arguments`); at the end of the block it is killed if it still runs."""
    with subprocess.Popen(
        arguments(model, store, **how),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield Loading(process)
        finally:
            process.kill()


def loaded(model: Path, store: Path, **how: Any) -> Loading:
    """Loads a model in a process of its own; what became of it."""
    with loading(model, store, **how) as process:
        process.read_until()
        process.process.communicate()
        return process


def kept(store: Path) -> set[str]:
    """What is in the folder of compiled models, but the lock and the digests of checkpoints."""
    return {path.name for path in store.iterdir()} - {"lock", "digests.json"} if store.is_dir() else set()
