"""`make bench MODEL=FOLDER [DATA=tweets.tsv.gz] [QUICK=1]`: one model compiled, by torch, and in the baseline.

All three are up at the same time and take turns. Each is started twice: the first start of Sentiq compiles the model,
the second finds it compiled. Writes FOLDER's name with .md and .json into runs/bench; nine minutes, or two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.bench.load import settle
from benchmarks.bench.raw import RawEngine
from benchmarks.bench.report import (
    Record,
    cell,
    engine,
    http_rows,
    memory_rows,
    ratios,
    table,
    values,
)
from benchmarks.bench.rounds import Bench, Plan, Scenario
from benchmarks.bench.systems import Baseline, Pipelined, Sentiq, System
from benchmarks.bench.texts import Texts

SYSTEMS = (Sentiq.name, Pipelined.name, Baseline.name)
PLAN = Plan(rounds=2, seconds=3, job=20_000, bulk_s=12.0, start_limit_s=400.0)
QUICK = Plan(rounds=1, seconds=1, job=1_000, bulk_s=4.0, start_limit_s=400.0)
_SHARE = 20
"""The pipeline's job has so many times fewer texts."""

_ABOUT = """\
One run on one machine: all systems are up at the same time and take turns, each round in another order, and the load
generator runs on the same cores. Figures are medians of the rounds, with the lowest and the highest in brackets; a
ratio is taken in each round, and its median stands here. Only a status of 200 counts as an answer.

- **Sentiq**: as `make run MODEL_NAME=FOLDER` starts it, with its defaults: the model is compiled.
- **Sentiq, pipeline**: the same with `ENGINE=pipeline`: the model runs by torch in fp32.
- **baseline**: FastAPI, transformers' `pipeline()` in fp32, and Redis: `benchmarks/baseline/service.py`.
- **raw engine**: the compiled model in a process of its own, two callers with 32 texts each, without any service.

No text was ever sent before: each ends in a number of its own. *Job*: of Sentiq, one upload until the job's end (with
the pipeline, a twentieth of the texts); of the baseline, batches of 100 one after the other for a limited time. Some
texts are asked beside each load and their labels compared with the raw engine's: a run with a wrong one is void. (A
label counts as wrong where the raw engine's two highest scores are 0.01 or more apart; of fp32 systems, 0.2 or more.)
"""


class ModelBench(Bench):
    """One run with one model."""

    scenarios = (
        Scenario("uncached", 1, SYSTEMS, 1),
        Scenario("uncached", 32, SYSTEMS, 3),
        Scenario("uncached", 256, SYSTEMS, 5),
    )
    rounding = 0.01

    def __init__(self, plan: Plan, texts: Texts, folder: Path, model: Path) -> None:
        super().__init__(plan, texts, folder)
        self.model = model
        self.told: dict[str, Any] = {}
        """What Sentiq's `/model` says."""

    @cached_property
    def raw(self) -> RawEngine:
        """The compiled engine, which finds what Sentiq has compiled."""
        return RawEngine(str(self.model), self.folder / "Sentiq" / "compiled")

    def start(self, factories: dict[str, Callable[[Path], System]]) -> None:
        """Starts each system twice in the same folder; all are up afterwards."""
        for turn, scenario in enumerate(("first start", "second start")):
            for name, make in factories.items():
                system = self.systems[name] = make(self.folder / name.replace(", ", "-"))
                seconds = system.start(partial(self.up, system), self.plan.start_limit_s)
                self.note(scenario, name, 0, seconds=seconds)
                if turn == 0:
                    system.close()
        told = self.systems[Sentiq.name]
        assert isinstance(told, Sentiq)
        self.told = told.ask("GET", "/model")[1]

    def up(self, system: System) -> bool:
        """Whether it predicts; Sentiq is asked only when it says that it is ready, so as not to disturb compiling."""
        return (not isinstance(system, Sentiq) or system.is_ready()) and self.answers(system)

    def turn(self, number: int) -> None:
        """Runs a round: the engine alone, in the first round jobs, and the loads."""
        self.engine_alone(number)
        if number < self.plan.job_rounds:
            for name, system in self.systems.items():
                settle(system)
                texts = self.texts.take(self.plan.job // (_SHARE if name == Pipelined.name else 1))
                done, seconds, answers = system.bulk(texts, self.plan.bulk_s)
                judged = self.judged(system, list(zip(texts, answers, strict=False)), None)
                self.note("job", name, number, answers_per_s=done / seconds, texts=done, **judged)
        self.loads(number, [], self.folder / "plain")


def rows(records: list[Record]) -> list[list[str]]:
    """Each load: answers a second of each system, and Sentiq's ratio to the others and to the raw engine."""
    found = []
    for scenario in dict.fromkeys(each["scenario"] for each in records if "connections" in each or "texts" in each):
        rates = {name: values(records, scenario, name, "answers_per_s") for name in SYSTEMS}
        ours = rates[Sentiq.name]
        found.append(
            [
                scenario,
                *(cell(list(rates[name].values()), ",.1f") for name in SYSTEMS),
                *(cell(ratios(ours, rates[name]), ".1f") for name in SYSTEMS[1:]),
                cell(ratios(ours, engine(records, "answers_per_s", max)), ".0%"),
            ]
        )
    return found


def markdown(facts: dict[str, Any], records: list[Record], told: dict[str, Any]) -> str:
    """The whole document."""
    checked, wrong = (sum(each.get(key, 0) for each in records) for key in ("checked", "wrong"))
    threads = list(dict.fromkeys(each["system"] for each in records if each["scenario"] == "raw engine"))
    names = ("machine", "load before", "Sentiq", "engine", "texts", "settings", "versions")
    alone = [
        [title, *(cell(list(values(records, "raw engine", name, key).values()), ".1f") for name in threads)]
        for title, key in {"texts/s, calls of 32": "answers_per_s", "one text, ms": "lone_ms"}.items()
    ]
    starts = [
        [scenario, *(cell(list(values(records, scenario, name, "seconds").values()), ".1f") for name in SYSTEMS)]
        for scenario in ("first start", "second start")
    ]
    return "\n".join(
        [
            f"# {facts['model']}\n",
            f"Written by `{facts['command']}` on {facts['date']}, in {facts['minutes']} minutes.\n",
            "".join(f"- {name}: {facts[name]}\n" for name in names),
            _ABOUT,
            f"{checked:,} answers were compared with the raw engine's; {wrong} were wrong.\n",
            "## Answers a second\n",
            table(
                ["load", *SYSTEMS, *(f"Sentiq / {name.removeprefix('Sentiq, ')}" for name in SYSTEMS[1:]), "/ raw"],
                rows(records),
            ),
            "## Every load\n",
            table(["load", "system", "answers/s", "p50 ms", "p95 ms", "p99 ms", "not 200"], http_rows(records)),
            "## The raw engine\n",
            table(["", *threads], alone),
            "## Start and memory\n",
            "Seconds from the process's start to its first real prediction, files in the page cache.\n",
            table(["", *SYSTEMS], starts),
            "Memory after all rounds, MB: proportional set size (PSS). Processor while nobody asks, % of one core.\n",
            table(["system", "process", "count", "largest", "together", "idle processor, %"], memory_rows(records)),
            "## What `/model` says\n",
            f"```json\n{json.dumps(told, indent=1)}\n```\n",
        ]
    )


def write(folder: Path, facts: dict[str, Any], bench: ModelBench) -> str:
    """Writes the document and the raw numbers; returns the document."""
    folder.mkdir(parents=True, exist_ok=True)
    name = bench.model.name
    (folder / f"{name}.md").write_text(text := markdown(facts, bench.records, bench.told))
    raw = {"facts": facts, "records": bench.records, "model": bench.told}
    (folder / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n")
    return text
