"""Compose's stack, for real: what docs/deploy.md promises of it, and what happens when its parts die."""

from __future__ import annotations

import secrets
import time

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.containers.images import ROOT
from tests.containers.stack import MONITORED, ComposeStack, note, step
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
RUNNING = sorted(
    f"sentiq-{name}-1" for name, one in COMPOSE["services"].items() if "profiles" not in one or name == "flower"
)
"""All containers but those for which Debian has no package, or which nobody has asked for."""
KEPT: dict[str, str] = {}
"""Jobs that a later test still finds."""


def texts(number: int) -> list[str]:
    """Texts that no cache has."""
    run = secrets.token_hex(4)
    return [f"Line {line} of {run}: {'I love it' if line % 2 else 'what a waste of money'}" for line in range(number)]


def check_lines(stack: ComposeStack, job: str, sent: list[str]) -> None:
    """Each text has its answer, in its place."""
    lines = stack.lines(job)
    assert len(lines) == len(sent)
    labels = [line["label"] for line in lines]
    right = sum(label == ("POSITIVE" if line % 2 else "NEGATIVE") for line, label in enumerate(labels))
    assert right > 0.95 * len(sent), labels[:10]


def test_up(stack: ComposeStack) -> None:
    """Everything runs and is healthy, though the clone was made with umask 077; a text and a job are answered, and a
    request without a key is refused.
    """
    assert stack.containers() == RUNNING
    answer = stack.predict("What a show, I loved it!")
    assert (answer.status_code, answer.json()["label"]) == (200, "POSITIVE")
    assert stack.request("POST", "/predict", json={"text": "a"}, headers={"Authorization": ""}).status_code == 401
    sent = texts(10)
    KEPT["first"] = stack.submit(sent)
    stack.ended(KEPT["first"])
    check_lines(stack, KEPT["first"], sent)


def test_sizes(stack: ComposeStack) -> None:
    """What the images add to their base stays small, the web's above all."""
    sizes = {
        name: int(stack.engine.run("docker", "image", "inspect", "--format", "{{.Size}}", name)) / 1e6
        for name in ("python:3.13-slim-trixie", "sentiq-web", "sentiq-worker", "sentiq-flower")
    }
    base = sizes["python:3.13-slim-trixie"]
    for name, size in sizes.items():
        note(f"{name}: {size:.0f} MB, {size - base:.0f} above its base")
    assert sizes["sentiq-web"] - base < 160
    assert sizes["sentiq-worker"] - base < 340


def test_monitoring(stack: ComposeStack) -> None:
    """Prometheus reaches every container that has metrics, with Flower, and has loaded all rules without an error."""
    with step(f"{MONITORED} targets up"):
        stack.wait_for_targets(MONITORED)
    files = sorted((ROOT / "monitoring" / "prometheus" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    wanted = sorted(rule.get("alert") or rule["record"] for group in groups for rule in group["rules"])
    rules = [rule for group in stack.prometheus("rules")["groups"] for rule in group["rules"]]
    assert sorted(rule["name"] for rule in rules) == wanted
    assert not [rule for rule in rules if rule.get("lastError")]


def test_flower(stack: ComposeStack) -> None:
    """Flower shows its pages only with the password."""
    with stack.engine.network(), httpx.Client(base_url="http://127.0.0.1:5555", trust_env=False) as plain:
        assert plain.get("/flower/").status_code == 401
        assert plain.get("/flower/", auth=("admin", "wrong")).status_code == 401
        assert plain.get("/flower/", auth=("admin", stack.flower)).status_code == 200


def test_killed(stack: ComposeStack) -> None:
    """After kill -9 of each container's main process, one after another while a job runs, it comes back by itself and
    is healthy; each line of the job has its answer.
    """
    with step("kill -9 of each container, until it is healthy"):
        sent = texts(3000)
        job = stack.submit(sent)
        for name in RUNNING:
            before = stack.inspect(name)
            since = time.monotonic()
            stack.engine.run("sh", "-c", f"kill -9 {before['State']['Pid']}")
            count = before["RestartCount"]
            wait_until(lambda: stack.inspect(name)["RestartCount"] > count, what=f"{name} to start again")  # noqa: B023
            stack.wait_for(name)
            note(f"{name.removeprefix('sentiq-').removesuffix('-1')}: back after {time.monotonic() - since:.1f} s")
        stack.ended(job)
        check_lines(stack, job, sent)
        assert stack.job(KEPT["first"])["status"] == "succeeded"
        assert stack.containers() == RUNNING


def test_without_redis(stack: ComposeStack) -> None:
    """Without one of its Redis servers the web container is unhealthy; it is not started anew, and healthy again when
    the server is back.
    """
    with step("web without Redis: unhealthy, and healthy again"):
        count = stack.inspect("sentiq-web-1")["RestartCount"]
        stack.compose("stop", "redis-broker")
        stack.wait_for("sentiq-web-1", "unhealthy")
        assert stack.request("GET", "/health/live").status_code == 200
        stack.compose("start", "redis-broker")
        stack.wait_for("sentiq-web-1")
        assert stack.inspect("sentiq-web-1")["RestartCount"] == count
        wait_until(lambda: stack.predict("So it is back").status_code == 200, what="an answer after Redis is back")


def test_memory(stack: ComposeStack) -> None:
    """A job of some thousand texts, with callers beside it, stays below the limit of every container, and nothing is
    killed.
    """
    with step("a job of 6,000 texts under the limits of memory"):
        sent = texts(6000)
        job = stack.submit(sent)
        while stack.job(job)["status"] != "succeeded":
            assert stack.predict(f"A caller beside it, {secrets.token_hex(4)}").status_code in (200, 202)
        check_lines(stack, job, sent)
        for name in RUNNING:
            peak, limit, killed = stack.memory(name)
            note(f"{name.removeprefix('sentiq-').removesuffix('-1')}: {peak >> 20} of {limit >> 20} MiB")
            assert killed == 0, name
            assert peak < 0.95 * limit, name


def test_scaled(stack: ComposeStack) -> None:
    """The number of workers in .env holds for `up`, also for that of an update, and Prometheus finds them."""
    with step("two batch workers by BATCH_WORKERS, and an update"):
        stack.set_env(BATCH_WORKERS="2")
        stack.up()
        assert stack.containers() == sorted([*RUNNING, "sentiq-worker-batch-2"])
        stack.up("--build")
        assert stack.containers() == sorted([*RUNNING, "sentiq-worker-batch-2"])
        stack.wait_for_targets(MONITORED + 1)
        stack.set_env(BATCH_WORKERS="1")
        stack.up()
        assert stack.containers() == RUNNING


def test_passwords_are_not_printed(stack: ComposeStack) -> None:
    """With a password that cannot stand in an address the containers end with a sentence, and no part of the password
    is in what they print.
    """
    url = "REDIS_URL=redis://:hunter/two#three@redis-cache:6379/0"
    run = ["docker", "compose", "run", "--rm", "--no-deps", "--env", url]
    for command in (["web"], ["worker-batch"]):
        # The engine's own error would repeat the command.
        script = f"{' '.join([*run, *command])} 2>&1 || echo ended with $?"
        said = stack.engine.run("sh", "-c", script.replace("#", "\\#"), at=stack.clone)
        assert "ended with" in said
        assert "REDIS_URL: is not a valid address; in a password, write / as %2F" in said
        assert not [part for part in ("hunter", "two", "three") if part in said]
        assert "Traceback" not in said


def test_down_and_up(stack: ComposeStack) -> None:
    """After `down` and `up` the jobs are still there; after `down` nothing is left but the volumes."""
    with step("down, up --wait"):
        stack.compose("--profile", "pages", "down")
        assert stack.containers() == []
        stack.up()
        assert stack.containers() == [name for name in RUNNING if name != "sentiq-flower-1"]
        assert stack.job(KEPT["first"])["status"] == "succeeded"
        assert len(stack.lines(KEPT["first"])) == 10
        assert stack.predict("And on it goes").status_code == 200
