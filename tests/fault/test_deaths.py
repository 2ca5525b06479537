"""Processes are killed or stopped under load and restarted by the launcher: nothing is lost, doubled or wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.faults import MODEL, Trial
from tests.support.launched import Launched
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
WORKERS = ("tasks.worker interactive", "tasks.worker batch")
MASTER = "webapp.wsgi"


def web_worker(sentiq: Launched) -> int:
    """The pid of a Gunicorn worker, a child of the master."""
    master = sentiq.member(MASTER)
    children = [pid for pid in sentiq.members() if f"PPid:\t{master}\n" in Path(f"/proc/{pid}/status").read_text()]
    return min(children)


def gone(pid: int) -> bool:
    """Whether the process has ended (it may still be a zombie)."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("victims", [WORKERS[:1], WORKERS[1:], WORKERS], ids=["a live one", "a batch one", "all"])
def test_workers_killed(launch: Launch, victims: tuple[str, ...]) -> None:
    """After kill -9 of one worker or all, their chunks are redelivered within 10 s, and no caller gets an error."""
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    which = "all workers" if len(victims) > 1 else f"the {victims[0].split()[1]} worker"
    trial = Trial(f"kill -9 of {which}", sentiq).begin()
    pids = {victim.split()[1]: sentiq.member(victim) for victim in victims}
    held = trial.stop_with_chunks(pids)
    trial.strikes()
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    trial.await_redelivery(held)
    trial.end(allowed=set(), prompt_known=True, deaths=len(victims))
    trial.finish()


@pytest.mark.parametrize("victim", ["a web worker", "the web master"])
def test_web_killed(launch: Launch, victim: str) -> None:
    """kill -9 of a Gunicorn worker or its master breaks only the connections that it held; the job goes on."""
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial(f"kill -9 of {victim}", sentiq).begin()
    pid = web_worker(sentiq) if victim == "a web worker" else sentiq.member(MASTER)
    trial.strikes()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid), what="the process to end")
    figures = trial.end(allowed={"broken", "refused"}, deaths=victim == "the web master")
    assert figures.told.get("broken", 0) <= 2 * trial_callers(trial)
    trial.finish()


def trial_callers(trial: Trial) -> int:
    """The number of callers of a trial."""
    assert trial.load is not None
    return trial.load.callers


@pytest.mark.parametrize("victim", ["the interactive worker", "the batch worker", "a web worker", "the web master"])
def test_drains(launch: Launch, victim: str) -> None:
    """On SIGTERM, work that has begun is finished, no accepted request fails, and the launcher restarts the process.

    While a web master is away nothing listens, so callers may be refused a connection; none that is open breaks.
    """
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial(f"SIGTERM of {victim}", sentiq).begin()
    pid = {
        "the interactive worker": lambda: sentiq.member(WORKERS[0]),
        "the batch worker": lambda: sentiq.member(WORKERS[1]),
        "a web worker": lambda: web_worker(sentiq),
        "the web master": lambda: sentiq.member(MASTER),
    }[victim]()
    worker = victim.split()[1]
    if worker in ("interactive", "batch"):
        trial.stop_with_chunks({worker: pid})
    trial.strikes()
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: gone(pid), what="the process to end", timeout_s=60)
    if victim != "a web worker":  # its master handles the end of a web worker, not the launcher
        wait_until(lambda: f"(pid {pid}) ended with status 0" in sentiq.output, what="a clean end to be told")
    master = victim == "the web master"
    trial.end(allowed={"refused"} if master else set(), prompt_known=not master, deaths=victim != "a web worker")
    assert "one by one" not in sentiq.output, "a chunk was begun again"
    trial.finish()
