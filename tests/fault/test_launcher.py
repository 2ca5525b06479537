"""The launcher, or make, or one of its processes is killed: nothing is left over, and the next start works."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

from tests.support.launched import MAKE_RUN, Launched
from tests.support.stack import Stack
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]


def test_killed_launcher_leaves_no_orphan(launch: Launch) -> None:
    """kill -9 of the launcher ends all its processes, and the next start on the same folder works."""
    first = launch().wait_until_ready()
    first.process.kill()
    second = launch().wait_until_ready()
    assert second.http.get("/health").status_code == 200
    assert second.stop() == 0
    second.wait_until_gone()


def test_start_after_a_kill_waits_for_the_port(launch: Launch, make_stack: Callable[..., Stack]) -> None:
    """A start right after a kill -9 waits until the killed one's web has let go of the port, also where no embedded
    server is waited for.
    """
    stack = make_stack()
    stack.start_server()
    first = launch(REDIS_URL=stack.url, WEB_CONCURRENCY=2).wait_until_ready()
    os.kill(first.member("webapp.wsgi"), signal.SIGSTOP)  # for a while it cannot end
    first.process.kill()
    second = launch(REDIS_URL=stack.url, PORT=first.port)
    told = "waiting for: the processes of an earlier, killed start to end"
    wait_until(partial(second.has_printed, told), what="the start to wait")
    os.kill(first.member("webapp.wsgi"), signal.SIGCONT)
    second.wait_until_ready()
    assert second.stop() == 0


def test_killed_make_leaves_no_orphan(launch: Launch) -> None:
    """kill -9 of make ends the launcher, and with it everything."""
    sentiq = launch(command=MAKE_RUN).wait_until_ready()
    sentiq.process.kill()
    sentiq.wait_until_gone()


def test_dead_processes_are_started_again(launch: Launch) -> None:
    """A process that is killed is started again, the server with its data, and the service answers as before."""
    sentiq = launch().wait_until_ready()
    known = sentiq.http.post("/predict", json={"text": "good to know"}).json()
    for words in ("tasks.worker interactive", "tasks.worker batch", "valkey-server", "redis-server", "webapp.wsgi"):
        try:
            victim = sentiq.member(words)
        except AssertionError:
            assert words.endswith("-server")  # redis-server or valkey-server
            continue
        os.kill(victim, signal.SIGKILL)
        told = f"(pid {victim}) ended by signal 9; starting it again"
        wait_until(partial(sentiq.has_printed, told), what=f"the death of {words} to be told")
        wait_until(
            lambda: sentiq.http.get("/health").status_code == 200, what=f"health after the end of {words}", timeout_s=60
        )
        fresh = sentiq.http.post("/predict", json={"text": f"after the end of {words}"}, headers={"Prefer": "wait=30"})
        assert fresh.status_code == 200, fresh.text
    again = sentiq.http.post("/predict", json={"text": "good to know"}).json()
    assert (again["cached"], again["scores"]) == (True, known["scores"])
    assert sentiq.stop() == 0
