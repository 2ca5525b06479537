"""The simulation of the autoscaler: it conserves texts, and it follows Kubernetes' rule with the figures of
deploy/keda.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.autoscaling import (
    AGE,
    BATCH,
    BUSY,
    INTERACTIVE,
    WORK,
    Autoscaler,
    Callers,
    Cluster,
    Jobs,
    Rule,
    Trigger,
    report,
    show,
    simulate,
)

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = Cluster()
RULES = (
    Rule(),
    INTERACTIVE,
    replace(INTERACTIVE, triggers=(WORK,), stabilization_s=15.0),
    replace(INTERACTIVE, maximum=3),
)


@settings(max_examples=25, deadline=None)
@given(
    rates=st.lists(st.floats(0, 2000), min_size=20, max_size=60),
    rule=st.sampled_from(RULES),
    limit=st.integers(1, 5000),
    seed=st.integers(0, 2**32 - 1),
)
def test_texts_are_conserved(rates: list[float], rule: Rule, limit: int, seed: int) -> None:
    """Every text that came is answered, late, refused or still waiting, and no more wait than allowed."""
    load = Callers(replace(CLUSTER, queue_limit=limit), rates, seed)
    simulate(CLUSTER, rule, load, seconds=len(rates))
    counts = load.counts
    assert counts["arrived"] == counts["answered"] + counts["late"] + counts["refused"] + load.waiting
    assert 0 <= load.waiting <= limit
    assert min(counts.values()) >= 0


@settings(max_examples=25, deadline=None)
@given(lines=st.lists(st.integers(1, 20_000), min_size=1, max_size=5), workers=st.integers(1, 8))
def test_jobs_are_conserved(lines: list[int], workers: int) -> None:
    """Every chunk of every job is done once, and each job ends when its last chunk is done."""
    load = Jobs(CLUSTER, {1.0: lines})
    simulate(CLUSTER, Rule(minimum=workers), load, seconds=600)
    assert load.counts["done"] == load.counts["arrived"] == sum(-(-count // 625) for count in lines)
    assert load.waiting == 0
    assert len(load.took_s) == len(lines)


def test_enough_workers_answer_everybody() -> None:
    """Below the rate at which the workers score, nobody gets 202 or 429; at twice that rate, about half get 429;
    without workers, all get 202.
    """
    enough = Callers(CLUSTER, [1800.0] * 60, 1)
    simulate(CLUSTER, Rule(minimum=2), enough, seconds=60)
    assert enough.counts["late"] == enough.counts["refused"] == 0
    much = Callers(CLUSTER, [4000.0] * 60, 1)
    simulate(CLUSTER, Rule(minimum=2), much, seconds=60)
    assert 0.4 < much.counts["refused"] / much.counts["arrived"] < 0.55
    assert much.counts["late"] == 0
    nobody = Callers(CLUSTER, [100.0] * 20, 1)
    simulate(CLUSTER, Rule(minimum=0), nobody, seconds=20)
    assert nobody.counts["refused"] == 0
    assert nobody.counts["late"] > 1500


def test_more_workers_than_chunks_have_no_work() -> None:
    """Workers in excess of the chunks that web processes send change nothing."""
    few = replace(CLUSTER, web_processes=2)
    loads = [Callers(few, [5000.0] * 60, 1) for _ in range(2)]
    for load, workers in zip(loads, (2, 8), strict=True):
        simulate(few, Rule(minimum=workers), load, seconds=60)
    assert loads[0].counts == loads[1].counts


def test_the_rule_reacts_to_a_moment() -> None:
    """When ten times as many texts come, there are enough workers within a minute; they stay while that lasts, and are
    removed afterwards.
    """
    run = simulate(CLUSTER, INTERACTIVE, Callers(CLUSTER, show(), 1))
    needed = 5  # 5,000 texts a second
    assert run.workers[590] == INTERACTIVE.minimum
    for since, until in ((600, 840), (1800, 2700)):
        assert min(run.workers[since + 60 : until]) >= needed
        assert max(run.ages[since + 60 : until]) < 1.0
    assert run.workers[-1] == INTERACTIVE.minimum
    assert max(run.workers) <= INTERACTIVE.maximum
    still = simulate(CLUSTER, Rule(minimum=2), Callers(CLUSTER, show(), 1))
    assert run.load.counts["refused"] < 0.1 * still.load.counts["refused"]


def test_age_of_the_queue_alone_does_not_see_callers() -> None:
    """Callers' texts wait in the web processes, so the queue's age does not show them: a rule by the age alone adds no
    worker.
    """
    run = simulate(CLUSTER, replace(INTERACTIVE, triggers=(AGE,)), Callers(CLUSTER, show(), 1))
    assert set(run.workers) == {INTERACTIVE.minimum}


@pytest.mark.parametrize(
    ("signal", "target", "per_worker", "replicas", "wanted"),
    [
        (2.0, 0.5, True, 2, 4),
        (1.05, 0.5, True, 2, 2),
        (0.1, 0.5, True, 4, 1),
        (60.0, 0.5, True, 2, 6),
        (60.0, 0.5, True, 7, 14),
        (3.0, 1.0, False, 2, 6),
        (1.05, 1.0, False, 4, 4),
        (0.4, 1.0, False, 5, 2),
    ],
)
def test_autoscaler(signal: float, target: float, per_worker: bool, replicas: int, wanted: int) -> None:
    """AverageValue divides the signal by the target, Value multiplies the replicas by that ratio. Within a tenth
    nothing changes, and at a time at most 4 replicas are added, or as many as there are.
    """
    scaler = Autoscaler(Rule((Trigger("age", target, per_worker),), minimum=1, maximum=100, stabilization_s=1.0))
    assert scaler.wants(0.0, {"age": signal}, replicas, replicas) == wanted


def test_scales_down_late() -> None:
    """Replicas that were wanted within the window are not removed yet."""
    scaler = Autoscaler(Rule((Trigger("age", 1.0),), maximum=10, stabilization_s=60.0))
    assert scaler.wants(0.0, {"age": 5.0}, 5, 5) == 5
    assert scaler.wants(30.0, {"age": 0.0}, 5, 5) == 5
    assert scaler.wants(61.0, {"age": 0.0}, 5, 5) == 1


def test_simulates_what_is_shipped() -> None:
    """Targets, bounds and window are those of deploy/keda; the number of web processes is that of deploy/base."""
    objects = {
        one["metadata"]["name"]: one["spec"]
        for one in yaml.safe_load_all((ROOT / "deploy" / "keda" / "scaling.yaml").read_text())
    }
    for name, rule in (("worker-interactive", INTERACTIVE), ("worker-batch", BATCH)):
        spec: dict[str, Any] = objects[name]
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (rule.minimum, rule.maximum)
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] == rule.stabilization_s
        asked = {
            (trigger["name"], float(trigger["metadata"]["threshold"]), trigger["metricType"])
            for trigger in spec["triggers"]
        }
        names = {"work": "waiting"}
        assert asked == {
            (names.get(one.signal, one.signal), one.target, "AverageValue" if one.per_worker else "Value")
            for one in rule.triggers
        }
    web = next(
        one
        for one in yaml.safe_load_all((ROOT / "deploy" / "base" / "web.yaml").read_text())
        if one["kind"] == "Deployment"
    )["spec"]
    concurrency = next(
        v["value"] for v in web["template"]["spec"]["containers"][0]["env"] if v["name"] == "WEB_CONCURRENCY"
    )
    assert web["replicas"] * int(concurrency) == CLUSTER.web_processes >= INTERACTIVE.maximum
    assert BUSY.target < 1


def test_the_documents_figures() -> None:
    """docs/kubernetes.md has the tables that `python -m benchmarks.autoscaling` prints."""
    tables, _, _ = report(CLUSTER, seed=1)
    assert tables in (ROOT / "docs" / "kubernetes.md").read_text()
