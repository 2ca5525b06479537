"""What each training run gave and cost, kept in its folder; the table of ablations is printed from these records."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from model.training.fitting import Spent
from model.training.options import Recipe, differences

RECORD = "record.json"


@dataclass(frozen=True)
class Record:
    """One training run."""

    name: str
    changed: dict[str, str]
    """The options in which its recipe differs from the one that it is compared with."""
    device: str
    """What it ran on, with the arithmetic: `cpu, fp32`."""
    texts: int
    """The texts of all its steps."""
    hours: float
    processor_hours: float
    """Over all processors, in the time of this process."""
    dev: dict[str, float]
    """The macro recall on each dev file, in per cent."""

    @property
    def mean(self) -> float:
        """The mean over the dev files, the validation tweets (the first) counted twice."""
        values = list(self.dev.values())
        return (sum(values) + values[0]) / (len(values) + 1)


def made(name: str, recipe: Recipe, compared: Recipe, device: str, spent: Spent, dev: Mapping[str, float]) -> Record:
    """The record of a run that has ended."""
    return Record(
        name=name,
        changed={option: str(value) for option, value in differences(recipe, compared).items() if option != "stages"},
        device=device,
        texts=spent.texts,
        hours=round(spent.seconds / 3600, 3),
        processor_hours=round(spent.processor_s / 3600, 3),
        dev={file: round(100 * value, 2) for file, value in dev.items()},
    )


def write(record: Record, folder: Path) -> None:
    """Writes `record.json` into a run's folder, atomically."""
    part = folder / f"{RECORD}.part"
    part.write_text(json.dumps(asdict(record), indent=1) + "\n")
    os.replace(part, folder / RECORD)


def read_all(folder: Path) -> list[Record]:
    """The records of all runs below a folder, in the order in which they were made."""
    paths = sorted(folder.rglob(RECORD), key=lambda path: path.stat().st_mtime_ns)
    found: list[dict[str, Any]] = [json.loads(path.read_text()) for path in paths]
    return [Record(**record) for record in found]


def table(records: list[Record]) -> Table:
    """A table with a row for each run: its macro recalls, what it changed, its cost."""
    files = list(dict.fromkeys(file for record in records for file in record.dev))
    out = Table("run", "changed", *files, "mean", "texts", "hours", "processor hours", "on")
    for record in records:
        figures = [f"{record.dev[file]:.2f}" if file in record.dev else "" for file in files]
        changed = ", ".join(f"{option}={value}" for option, value in record.changed.items())
        cost = (f"{record.texts:,}", f"{record.hours:.2f}", f"{record.processor_hours:.2f}", record.device)
        out.add_row(record.name, changed, *figures, f"{record.mean:.2f}", *cost)
    return out
