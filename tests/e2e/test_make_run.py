"""`make run` from start to end, as its user sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.errors import EX_CONFIG
from tests.support.launched import LAUNCHER, MAKE_RUN, Launched
from tests.support.stack import ROOT, Stack, free_port
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]


def _gone(sentiq: Launched) -> None:
    wait_until(lambda: not sentiq.members(), what="every process of it to be gone", timeout_s=40)


def test_stranger_gets_the_readmes_answer(launch: Launch) -> None:
    """`make run` says when it is ready and shows a request, which gives the README's answer; Ctrl-C ends everything
    with status 0.

    After a second start the cache and the jobs are as before.
    """
    readme = (ROOT / "README.md").read_text()
    promised = json.loads(re.search(r"```json\n(\{.*?\})\n```", readme, re.S)[1])  # type: ignore[index]

    first = launch(command=MAKE_RUN, model="default", ENGINE_THREADS=0).wait_until_ready()
    assert any("waiting for:" in line for line in first.lines)
    assert re.search(r"the embedded server may use \d+\.\d GB of memory, 40% of what there is", first.output)
    curl = wait_until(lambda: next((line for line in first.lines if "curl -s" in line), None), what="the curl to try")
    answer = json.loads(subprocess.run(curl.partition("|")[2], shell=True, capture_output=True, check=True).stdout)
    volatile = {"processing_time_ms", "cached", "scores", "confidence"}
    assert {key: answer[key] for key in answer.keys() - volatile} == {
        key: promised[key] for key in promised.keys() - volatile
    }
    assert answer["label"] == "POSITIVE"
    # On another processor the last digits may differ.
    assert answer["scores"] == pytest.approx(promised["scores"], abs=0.02)
    job = first.http.post(
        "/batch_predict", json={"texts": ["What a show, I loved it!", "This is awful, I hate it."]}
    ).json()
    wait_until(lambda: first.http.get(job["links"]["self"]).json()["status"] == "succeeded", what="the job to end")
    os.killpg(first.process.pid, signal.SIGINT)  # like a terminal: to make and everything that it runs
    first.ended()
    _gone(first)
    assert any(line.endswith("| stopped") for line in first.lines), first.output
    assert "Traceback" not in first.output

    second = launch(model="default", ENGINE_THREADS=0).wait_until_ready()
    again = second.http.post("/predict", json={"text": "What a show, I loved it!"}).json()
    assert again["cached"] is True
    assert again["scores"] == answer["scores"]
    results = second.http.get(job["links"]["results"]).json()
    assert [item["label"] for item in results["items"]] == ["POSITIVE", "NEGATIVE"]
    assert second.stop() == 0
    _gone(second)


def test_every_line_names_its_process(launch: Launch) -> None:
    """Every line that is printed begins with the name of its process, and lines of the processes are printed."""
    sentiq = launch().wait_until_ready()
    sentiq.stop()
    assert sentiq.lines
    names = [re.match(r"(sentiq|server|interactive|batch|web) +\|", line) for line in sentiq.lines]
    assert {name and name[1] for name in names} >= {"sentiq", "interactive", "batch"}, sentiq.output
    assert None not in names, sentiq.output


def test_callers_need_not_wait_for_the_batch_worker(launch: Launch) -> None:
    """While only the batch worker is missing, the launcher says that callers are answered already, and they are."""
    sentiq = launch()
    batch = wait_until(lambda: sentiq.find("tasks.worker batch"), what="the batch worker to start")
    os.kill(batch, signal.SIGSTOP)
    told = f"waiting for: batch worker; callers of /predict are answered at http://127.0.0.1:{sentiq.port}"
    wait_until(partial(sentiq.has_printed, told), what="the line that says so", timeout_s=60)
    assert (
        sentiq.http.post("/predict", json={"text": "early but sure"}, headers={"Prefer": "wait=30"}).status_code == 200
    )
    os.kill(batch, signal.SIGCONT)
    sentiq.wait_until_ready()
    assert sentiq.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_drains(launch: Launch, number: signal.Signals) -> None:
    """A request that was accepted before the signal is still answered, and a chunk that was begun is finished.

    A connection that is open but idle is closed earlier, before the slow answer comes.
    """
    sentiq = launch(model="stub?delay_s=2.5", PREDICT_TIMEOUT=20).wait_until_ready()
    answers: list[int] = []
    caller = threading.Thread(
        target=lambda: answers.append(sentiq.http.post("/predict", json={"text": "slow but sure"}).status_code)
    )
    caller.start()
    with httpx.Client(base_url=sentiq.http.base_url, trust_env=False) as other:
        wait_until(
            lambda: "sentiment_chunk_texts_count 2.0" in other.get("/metrics").text, what="the request's chunk to leave"
        )
    with socket.create_connection(("127.0.0.1", sentiq.port), timeout=40) as idle:
        idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"alive" in idle.recv(65536)
        sentiq.process.send_signal(number)
        while idle.recv(65536):
            pass
        assert answers == []
    assert sentiq.ended() == 0
    caller.join(30)
    assert answers == [200], sentiq.output
    for complaint in ("Traceback", "[ERROR]", "graceful timeout", "did not end"):
        assert complaint not in sentiq.output
    _gone(sentiq)


def test_killed_launcher_leaves_no_orphan(launch: Launch) -> None:
    """kill -9 of the launcher ends all its processes, and the next start on the same folder works."""
    first = launch().wait_until_ready()
    first.process.kill()
    second = launch().wait_until_ready()
    assert second.http.get("/health").status_code == 200
    assert second.stop() == 0
    _gone(second)


def test_killed_make_leaves_no_orphan(launch: Launch) -> None:
    """kill -9 of make ends the launcher, and with it everything."""
    sentiq = launch(command=MAKE_RUN).wait_until_ready()
    sentiq.process.kill()
    _gone(sentiq)


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


def test_given_redis_is_used_and_no_server_started(launch: Launch, make_stack: Callable[..., Stack]) -> None:
    """With REDIS_URL, that server is used for everything and no embedded one runs."""
    stack = make_stack()
    stack.start_server()
    sentiq = launch(REDIS_URL=stack.url).wait_until_ready()
    assert sentiq.http.post("/predict", json={"text": "fine"}).status_code == 200
    assert stack.redis.keys("sentiq:p:*")
    assert not (sentiq.folder / "valkey").exists()
    assert "server " not in {line[:7] for line in sentiq.lines}
    assert sentiq.stop() == 0


@pytest.mark.parametrize(
    ("variables", "sentence", "status"),
    [
        (
            {"REDIS_URL": "redis://127.0.0.1:1"},
            "REDIS_URL at redis://127.0.0.1:1 does not answer; start that server",
            1,
        ),
        ({"REDIS_URL": "127.0.0.1"}, "REDIS_URL: must begin with redis://", EX_CONFIG),
        ({"BATCH_SIZE": "many"}, "BATCH_SIZE: ", EX_CONFIG),
        ({"WEB_METRICS_PORT": 9000, "METRICS_PORT": 9000}, "METRICS_PORT: the web's metrics and", EX_CONFIG),
        ({"model": "/no/such/model"}, "there is no folder /no/such/model", EX_CONFIG),
        ({"model": "/", "ENGINE": "compiled", "LOG_FORMAT": "json"}, "/ has no compiled graph", EX_CONFIG),
        (
            {"model": "default", "ANALYSIS": "tests.support.analyses:SPAM", "PYTHONPATH": str(ROOT)},
            "3 classes, but the analysis spam has 2",
            EX_CONFIG,
        ),
        ({"DATA_DIR": "/proc/nowhere"}, "DATA_DIR /proc/nowhere cannot be written", EX_CONFIG),
    ],
)
def test_start_that_cannot_work_says_why(launch: Launch, variables: dict[str, Any], sentence: str, status: int) -> None:
    """A start that cannot work ends with a sentence that names the reason, once, also if several processes find it. The
    status says whether it is a setting. Nothing is left running.
    """
    sentiq = launch(**variables)
    assert sentiq.ended() == status
    assert sentence in sentiq.lines[-1]
    assert sentiq.output.count(sentence) == 1
    assert "Traceback" not in sentiq.output
    _gone(sentiq)


def test_port_in_use(launch: Launch) -> None:
    """If another program listens on the port, the start fails at once, and the message says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentiq = launch(PORT=port)
        assert sentiq.ended() == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in sentiq.output
    assert f"PORT={port + 1} make run" in sentiq.output


def test_second_launcher_on_the_same_folder(launch: Launch) -> None:
    """A folder that another launcher uses is refused with that launcher's pid, and the other one is not disturbed."""
    first = launch().wait_until_ready()
    second = launch(PORT=free_port())
    assert second.ended() == 1
    assert f"Another Sentiq (pid {first.process.pid}) runs on" in second.output
    assert first.http.get("/health").status_code == 200
    assert first.stop() == 0


def test_a_service_manager_is_told(launch: Launch, folder: Path) -> None:
    """If systemd gives the launcher a socket, the launcher reports there when everything is ready and when it stops;
    its processes report nothing, not even Gunicorn, which otherwise would.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(60)
        sentiq = launch(NOTIFY_SOCKET=str(folder / "notify"))
        assert manager.recv(4096) == b"READY=1"
        sentiq.wait_until_ready()
        assert sentiq.stop() == 0
        assert manager.recv(4096) == b"STOPPING=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


def test_python_too_old(tmp_path: Path) -> None:
    """With a Python that is too old, make stops with one sentence before it installs anything."""
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" || exit 1\n')
    old.chmod(0o755)
    made = subprocess.run(
        ["make", "run", f"PYTHON={old}", f"VENV={tmp_path}/venv"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert f"Sentiq needs Python 3.11 or newer, and {old} is Python 3.9.1." in made.stdout
    assert not (tmp_path / "venv").exists()


def test_launcher_is_what_make_runs() -> None:
    """The command with which the tests start the launcher is the one in the Makefile."""
    recipe = subprocess.run([*MAKE_RUN, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"exec {' '.join(LAUNCHER)}" in recipe
