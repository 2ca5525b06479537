"""`python -m model.training all`: makes the embedded model step by step.

Each step reads what the steps before it wrote into the folder `--run`, leaves out what is there already, and goes on
where it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.engines.registry import load_engine
from model.figures import write_figures
from model.source import DEFAULT_FOLDER
from model.training.domains import DEV, IN_DOMAIN, TEST

cli = typer.Typer(help="Makes the embedded model.", no_args_is_help=True, add_completion=False)

_RUN = Path("runs/second")

Data = Annotated[
    Path,
    typer.Option("--data", help="The folder that holds train, dev, test and unlabelled.", exists=True, file_okay=False),
]
Run = Annotated[Path, typer.Option("--run", help="The folder that the steps write into and read from.")]
Out = Annotated[Path, typer.Option("--out", help="Where the exported model goes.")]
Bases = Annotated[
    Path | None,
    typer.Option("--bases", help="The folder that holds all-mpnet-base-v2; by default it is fetched (395 MB)."),
]
Only = Annotated[str | None, typer.Option("--only", help="One of several, by its name.")]


@cli.command()
def masked(data: Data, run: Run = _RUN, bases: Bases = None) -> None:
    """1. Trains the teachers' base model further on tweets, by masked words."""
    from model.training import steps

    steps.masked(data, run, bases)


@cli.command()
def teach(data: Data, run: Run = _RUN, bases: Bases = None, only: Only = None) -> None:
    """2. Trains the teachers on labels."""
    from model.training import steps

    steps.teach(data, run, bases, only)


@cli.command()
def soften(data: Data, run: Run = _RUN, bases: Bases = None, only: Only = None) -> None:
    """3. Scores all texts with each teacher."""
    from model.training import steps

    steps.soften(data, run, bases, only)


@cli.command()
def distil(data: Data, run: Run = _RUN) -> None:
    """4. Trains a student for each seed, on labels and on the mean of the teachers' scores; averages their weights."""
    from model.training import steps

    steps.distil(data, run)


@cli.command()
def calibrate(
    data: Data,
    run: Run = _RUN,
    kind: Annotated[str, typer.Option(help="temperature, or offsets: an offset for each class, too.")] = "temperature",
    everywhere: Annotated[
        bool, typer.Option(help="Fitted on all dev files alike; else on the validation tweets alone.")
    ] = True,
) -> None:
    """5. Fits the scaling of the logits, and prints what each kind of it would give."""
    from model.training import steps

    steps.calibrate(data, run, kind, everywhere=everywhere)


@cli.command()
def export(data: Data, run: Run = _RUN, out: Out = DEFAULT_FOLDER) -> None:
    """6. Writes the int8 graph and the fp16 safetensors, both with the scaling, into --out."""
    from model.training import steps

    steps.export(data, run, out)


@cli.command()
def figures(
    data: Data, out: Out = DEFAULT_FOLDER, test: Annotated[bool, typer.Option(help="The test file too.")] = False
) -> None:
    """7. Measures the exported model on the dev files, with --test on the test file; writes figures.json and a plot."""
    from model.training import plots
    from model.training.data import read
    from model.training.evaluate import file_figures, scores
    from model.training.metrics import known_labels

    engine = load_engine("default" if out == DEFAULT_FOLDER else str(out), engine="compiled", threads=_threads())
    measured, answers = [], []
    for part, files in (("dev", DEV), ("test", TEST if test else {})):
        for file, name in files.items():
            examples = read(data / file)
            answers.append(
                (f"{part}: {name}", scores(engine, [e.text for e in examples], file), known_labels(examples))
            )
            measured.append(file_figures(name, part, *answers[-1][1:]))
            print(measured[-1], flush=True)
    write_figures(engine.identity, measured, out)
    plots.reliability(answers, out / "reliability.svg")


@cli.command()
def ablate(data: Data, run: Run = _RUN, only: Only = None) -> None:
    """Trains short students with one choice changed each, and prints the table of all runs."""
    from model.training import steps

    steps.ablate(data, run, only)
    table(run)


@cli.command()
def table(run: Run = _RUN) -> None:
    """Prints the table of all runs in --run: macro recall on the dev files, what was changed, processor hours."""
    from model.training import records

    Console(width=max(Console().width, 200)).print(records.table(records.read_all(run)))


@cli.command()
def pareto(
    data: Data,
    models: Annotated[
        list[str],
        typer.Option("--model", help="NAME=FOLDER of an exported model; several times, the shipped one first."),
    ],
    out: Out = DEFAULT_FOLDER,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each model scores the tweets; the models take turns.")
    ] = 5,
) -> None:
    """Compares exported models: macro recall on the validation tweets against texts per second on unlabelled tweets."""
    import random

    from model.training import comparison, plots
    from model.training.data import read
    from model.training.evaluate import evaluate

    tweets = random.Random(1).sample([example.text for example in read(data / "unlabelled/tweets.tsv.gz")], 1000)
    folders = dict(pair.rsplit("=", 1) for pair in models)
    engines = {name: load_engine(folder, engine="compiled", threads=_threads()) for name, folder in folders.items()}
    found = comparison.rates(engines, tweets, rounds)
    candidates: list[plots.Candidate] = []
    for name, engine in engines.items():
        recall = 100 * evaluate(engine, data / IN_DOMAIN)[0].macro_recall
        candidates.append(plots.Candidate(name, found[name].median, recall, shipped=not candidates))
        rate = found[name]
        print(
            f"{name}: {rate.median:.0f} texts/s ({rate.lowest:.0f} to {rate.highest:.0f}), macro recall {recall:.2f}",
            flush=True,
        )
    plots.pareto(candidates, out / "pareto.svg")


@cli.command("all")
def everything(data: Data, run: Run = _RUN, out: Out = DEFAULT_FOLDER, bases: Bases = None) -> None:
    """Runs all steps in order, leaves out what is done, and goes on with what was stopped."""
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("1/7 base of the teachers, by masked words", lambda: masked(data, run, bases)),
        ("2/7 teachers", lambda: teach(data, run, bases)),
        ("3/7 scores of the teachers", lambda: soften(data, run, bases)),
        ("4/7 students on labels and scores", lambda: distil(data, run)),
        ("5/7 calibration", lambda: calibrate(data, run)),
        ("6/7 export", lambda: export(data, run, out)),
        ("7/7 figures", lambda: figures(data, out, test=True)),
    )
    for name, do in steps:
        print(name, flush=True)
        do()
    table(run)


def _threads() -> int:
    """The number of threads that torch uses by default."""
    import torch

    return int(torch.get_num_threads())


if __name__ == "__main__":
    cli()
