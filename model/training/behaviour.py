"""`python -m model.training.behaviour`: tries what a model makes of negation, emoji, typos and the like.

Accuracy on labelled files says little about these: their sentences are few there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.engine import Engine
from model.engines.registry import load_engine
from model.errors import ModelError
from model.labels import LABELS
from model.text import clean
from model.training.behaviour_cases import Case, Expected, Moved, Same, cases
from model.types import FloatArray

KINDS = {Expected: "known label", Same: "same answer", Moved: "direction"}
MOST = 0.25
"""How far the net of the scores (POSITIVE less NEGATIVE) may move where the answer has to stay the same."""
TOLERANCE = 0.02
"""How far an answer may move the wrong way: an answer that is sure already has nowhere to go."""


@dataclass(frozen=True)
class Failures:
    """The failures of one capability."""

    kind: str
    capability: str
    cases: int
    failed: int
    example: str
    """The first case that failed."""

    @property
    def rate(self) -> float:
        """The share of the cases that failed."""
        return self.failed / self.cases


def fails(case: Case, first: FloatArray, second: FloatArray) -> bool:
    """Whether the answers to a case are not as expected.

    Args:
        case: the case.
        first: the class probabilities of its text, shape (3,).
        second: those of its other text; the same where it has none.
    """
    if isinstance(case, Expected):
        return LABELS[int(first.argmax())] not in case.labels
    moved = float((second[2] - second[0]) - (first[2] - first[0]))
    if isinstance(case, Same):
        return int(first.argmax()) != int(second.argmax()) or abs(moved) > MOST
    return (moved if case.up else -moved) < -TOLERANCE


def tried(engine: Engine, all_cases: Sequence[Case]) -> list[Failures]:
    """The failures of each capability, in the order of the cases."""
    texts: dict[str, int] = {}
    pairs = [(case.text, case.text if isinstance(case, Expected) else case.other) for case in all_cases]
    for text in (clean(text) for pair in pairs for text in pair):
        texts.setdefault(text, len(texts))
    found = engine.score(list(texts)).probabilities
    out: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for case, (text, other) in zip(all_cases, pairs, strict=True):
        failed = fails(case, found[texts[clean(text)]], found[texts[clean(other)]])
        shown = text if isinstance(case, Expected) else f"{text} -> {other}"
        out.setdefault((KINDS[type(case)], case.capability), []).append((shown, failed))
    return [
        Failures(
            kind,
            capability,
            len(results),
            sum(failed for _, failed in results),
            next((shown for shown, failed in results if failed), ""),
        )
        for (kind, capability), results in out.items()
    ]


def total(failures: Sequence[Failures]) -> float:
    """The mean of the failure rates: each capability counts the same, whatever its number of cases."""
    return sum(one.rate for one in failures) / len(failures)


def table(engine: Engine, failures: Sequence[Failures]) -> Table:
    """A row for each capability."""
    out = Table("kind", "capability", "cases", "failures", "example of a failure", title=engine.identity)
    for one in failures:
        out.add_row(one.kind, one.capability, str(one.cases), f"{100 * one.rate:.0f}%", one.example.replace("\n", " "))
    out.caption = f"mean of the failure rates: {100 * total(failures):.1f}%"
    return out


def main(
    model: Annotated[str, typer.Option(help="`default`, a folder, or a Hugging Face name.")] = "default",
    engine: Annotated[str, typer.Option(help="auto, compiled, pipeline or stub.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a capability instead of a table.")] = False,
) -> None:
    """Prints the failure rates of a model by capability."""
    try:
        loaded = load_engine(model, engine=engine, threads=threads)
    except ModelError as error:
        raise typer.BadParameter(str(error)) from error
    found = tried(loaded, cases())
    if as_json:
        for one in found:
            print(json.dumps({"model": loaded.identity, **asdict(one)}, ensure_ascii=False))
    else:
        Console(width=max(Console().width, 120)).print(table(loaded, found))


if __name__ == "__main__":
    typer.run(main)
