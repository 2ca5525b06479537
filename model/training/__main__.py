"""`python -m model.training all`: makes the embedded model step by step.

Each step reads what the steps before it wrote into the folder `--run`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from model.engines.registry import load_engine
from model.figures import write_figures
from model.source import DEFAULT_FOLDER
from model.types import FloatArray

cli = typer.Typer(help="Makes the embedded model.", no_args_is_help=True, add_completion=False)

_RUN = Path("runs/default")
_TEMPERATURE = "temperature.json"

DEV = {
    "dev/tweeteval_val.tsv.gz": "TweetEval validation",
    "dev/sst_dev.tsv.gz": "SST sentences",
    "dev/dynasent_r2_dev.tsv.gz": "DynaSent round 2",
    "dev/goemotions_dev.tsv.gz": "GoEmotions",
    "dev/kaggle_tweets_dev.tsv.gz": "Kaggle tweets",
}
"""The files used for choices while the model is made, with their names."""
IN_DOMAIN = "dev/tweeteval_val.tsv.gz"
"""The file that the temperature is fitted on."""
TEST = {"test/tweeteval.tsv.gz": "TweetEval test"}
"""The file used only once, at the end, with its name."""

Data = Annotated[
    Path,
    typer.Option("--data", help="The folder that holds train, dev, test and unlabelled.", exists=True, file_okay=False),
]
Run = Annotated[Path, typer.Option("--run", help="The folder that the steps write into and read from.")]
Out = Annotated[Path, typer.Option("--out", help="Where the exported model goes.")]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@cli.command()
def broad(data: Data, run: Run = _RUN) -> None:
    """1. Fine-tunes the student's base model on the labels of all domains."""
    from model.training import bases, recipe

    recipe.train(data, bases.student(), run / "broad", recipe.BROAD, _device())


@cli.command()
def teach(data: Data, run: Run = _RUN) -> None:
    """2. Fine-tunes the teacher, after fetching its base model (395 MB)."""
    from model.training import bases, recipe, teacher

    teacher.train(data, bases.teacher(run / "bases"), run / "teacher", recipe.TEACHER, _device())


@cli.command()
def soften(data: Data, run: Run = _RUN) -> None:
    """3. Scores, with the teacher and the student, the texts that the student then learns from."""
    from transformers import AutoTokenizer

    from model.training import bases, export, graphs, recipe, soft, teacher

    base = bases.teacher(run / "bases")
    tokenizer = AutoTokenizer.from_pretrained(base, model_max_length=recipe.TEACHER.max_tokens)
    taught = graphs.Scorer(
        run / "teacher" / "graph.xml", tokenizer, lambda: teacher.graph(base, run / "teacher", data, recipe.TEACHER)
    )
    soft.soften(taught.scores, data, recipe.TAUGHT, run / "soft" / "teacher", recipe.DISTILLED.seed)

    student = run / "broad" / "fp32"
    tokenizer = AutoTokenizer.from_pretrained(student, model_max_length=recipe.BROAD.max_tokens)
    own = graphs.Scorer(run / "broad" / "graph.xml", tokenizer, lambda: export.graph(student, data))
    soft.soften(own.scores, data, recipe.DISTILLED.stages[0], run / "soft" / "student", recipe.DISTILLED.seed)


def _soft_labels(data: Path, run: Path) -> dict[str, FloatArray]:
    """The mean of the teacher's and the student's probabilities.

    The student's are first freed from the class frequencies that it learnt.
    """
    from model.training import recipe, soft

    student = soft.soft_labels(run / "soft" / "student", recipe.DISTILLED.stages[0])
    balanced = {file: soft.debiased(known, recipe.log_prior_of(data, file)) for file, known in student.items()}
    return soft.mean([soft.soft_labels(run / "soft" / "teacher", recipe.TAUGHT), balanced])


@cli.command()
def distil(data: Data, run: Run = _RUN) -> None:
    """4. Trains the student further, on labels and on the scores of step 3."""
    from model.training import recipe

    recipe.train(
        data, str(run / "broad" / "fp32"), run / "distilled", recipe.DISTILLED, _device(), soft=_soft_labels(data, run)
    )


@cli.command()
def calibrate(data: Data, run: Run = _RUN) -> None:
    """5. Fits the temperature on the validation tweets."""
    from model.training import calibration
    from model.training.data import read
    from model.training.evaluate import scores
    from model.training.metrics import known_labels

    engine = load_engine(str(run / "distilled" / "fp32"), engine="pipeline", threads=_threads())
    examples = read(data / IN_DOMAIN)
    temperature = calibration.fitted([(scores(engine, [e.text for e in examples], IN_DOMAIN), known_labels(examples))])
    (run / _TEMPERATURE).write_text(json.dumps({"temperature": temperature, "file": IN_DOMAIN}) + "\n")
    print(f"temperature: {temperature}")


@cli.command()
def export(data: Data, run: Run = _RUN, out: Out = DEFAULT_FOLDER) -> None:
    """6. Writes the int8 graph and the fp16 safetensors, both with the temperature, into --out."""
    from model.training import export as exporting

    temperature = float(json.loads((run / _TEMPERATURE).read_text())["temperature"])
    exporting.export(run / "distilled" / "fp32", data, out, temperature)


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
    for split, files in (("dev", DEV), ("test", TEST if test else {})):
        for file, name in files.items():
            examples = read(data / file)
            answers.append(
                (f"{split}: {name}", scores(engine, [e.text for e in examples], file), known_labels(examples))
            )
            measured.append(file_figures(name, split, *answers[-1][1:]))
            print(measured[-1], flush=True)
    write_figures(engine.identity, measured, out)
    plots.reliability(answers, out / "reliability.svg")


@cli.command()
def shallow(data: Data, run: Run = _RUN) -> None:
    """Trains and exports students with 4 and 3 layers, to compare accuracy and speed."""
    from model.training import export as exporting
    from model.training import recipe

    soft = _soft_labels(data, run)
    for layers, rules in recipe.SHALLOW.items():
        part = run / f"layers{layers}"
        recipe.train(data, str(run / "distilled" / "fp32"), part, rules, _device(), soft=soft)
        exporting.export(part / "fp32", data, part / "export", 1.0)


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
def everything(data: Data, run: Run = _RUN, out: Out = DEFAULT_FOLDER) -> None:
    """Runs all steps in order, skips those that are done, and resumes an interrupted one."""
    steps: tuple[tuple[str, Path | None, Callable[[], None]], ...] = (
        ("1/7 student on labels", run / "broad" / "fp32" / "tokenizer.json", lambda: broad(data, run)),
        ("2/7 teacher", run / "teacher" / "teacher.pt", lambda: teach(data, run)),
        ("3/7 scores of teacher and student", None, lambda: soften(data, run)),
        ("4/7 student on labels and scores", run / "distilled" / "fp32" / "tokenizer.json", lambda: distil(data, run)),
        ("5/7 calibration", run / _TEMPERATURE, lambda: calibrate(data, run)),
        ("6/7 export", None, lambda: export(data, run, out)),
        ("7/7 figures", None, lambda: figures(data, out, test=True)),
    )
    for name, made, do in steps:
        if made is not None and made.exists():
            print(f"{name}: done already, {made}", flush=True)
            continue
        print(name, flush=True)
        do()


def _threads() -> int:
    """The number of threads that torch uses by default."""
    import torch

    return int(torch.get_num_threads())


if __name__ == "__main__":
    cli()
