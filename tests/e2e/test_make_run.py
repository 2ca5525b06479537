"""`make run` from start to end, as its user sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.errors import EX_CONFIG
from tasks.keys import new_key
from tests.support.launched import LAUNCHER, MAKE_RUN, Launched
from tests.support.stack import ROOT, Stack, free_port
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]


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
    first.wait_until_gone()
    assert any(line.endswith("| stopped") for line in first.lines), first.output
    assert "Traceback" not in first.output

    second = launch(model="default", ENGINE_THREADS=0).wait_until_ready()
    again = second.http.post("/predict", json={"text": "What a show, I loved it!"}).json()
    assert again["cached"] is True
    assert again["scores"] == answer["scores"]
    results = second.http.get(job["links"]["results"]).json()
    assert [item["label"] for item in results["items"]] == ["POSITIVE", "NEGATIVE"]
    assert second.stop() == 0
    second.wait_until_gone()


def test_every_line_names_its_process(launch: Launch) -> None:
    """Every line that is printed begins with the name of its process, and lines of the processes are printed; one tells
    where the data is, and the time zone. With keys the request to try takes one from the shell, and no line has a key.
    """
    key, entry = new_key("ann", ["predict"])
    sentiq = launch(API_KEYS=entry).wait_until_ready()
    settled = next(line for line in sentiq.lines if "data in " in line)
    assert re.search(r"\| data in /\S+; (times in this log are|all times are UTC)", settled)
    curl = next(line for line in sentiq.lines if "curl -s" in line).partition("|")[2]
    done = subprocess.run(curl, shell=True, capture_output=True, check=True, env=os.environ | {"SENTIQ_API_KEY": key})
    assert json.loads(done.stdout)["text"] == "What a show, I loved it!"
    assert key not in sentiq.output
    sentiq.stop()
    assert sentiq.lines
    names = [re.match(r"(sentiq|server|interactive|batch|web) +\|", line) for line in sentiq.lines]
    assert {name and name[1] for name in names} >= {"sentiq", "interactive", "batch"}, sentiq.output
    assert None not in names, sentiq.output


def test_several_models(launch: Launch) -> None:
    """With MODELS, `make run` starts a pair of workers for each model and says when all of them have answered; each
    line names its process and model. A worker that dies is started again, and Ctrl-C ends everything.
    """
    models = {"de": {"name": "stub", "revision": "de"}, "en": "stub"}
    sentiq = launch(command=MAKE_RUN, MODELS=json.dumps(models)).wait_until_ready()
    assert re.search(r"ready at \S+ after \d+\.\d s \(stub@1/stub; de: stub@de/stub\); API at", sentiq.output)
    asked = {"de": "stub@de/stub", "en": "stub@1/stub", "*": "stub@1/stub"}
    for name, identity in asked.items():
        answer = sentiq.http.post("/predict", json={"text": f"good {name}", "model": name}).json()
        assert answer["model"] == identity
    jobs = [sentiq.http.post("/batch_predict", json={"texts": ["a", "b"], "model": name}).json() for name in asked]
    for job, identity in zip(jobs, asked.values(), strict=True):
        ended = sentiq.http.get(job["links"]["self"], headers={"Prefer": "wait=30"}).json()
        assert (ended["status"], ended["model"]) == ("succeeded", identity)
    os.kill(sentiq.member("tasks.worker batch --model de"), signal.SIGKILL)
    told = "ended by signal 9; starting it again"
    wait_until(partial(sentiq.has_printed, told), what="the launcher to start the worker again")
    lines = [re.fullmatch(r"(\S+) +\| .*", line) for line in sentiq.lines if "|" in line]
    names = {line[1] for line in lines if line is not None}
    assert names >= {"sentiq", "interactive", "batch", "interactive@de", "batch@de"}, sentiq.output
    assert len({line.index("|") for line in sentiq.lines if line.startswith(("sentiq ", "batch@de "))}) == 1
    os.killpg(sentiq.process.pid, signal.SIGINT)
    sentiq.ended()
    sentiq.wait_until_gone()


def test_callers_need_not_wait_for_the_batch_worker(launch: Launch) -> None:
    """While only the batch worker is missing, the launcher says that callers are answered already, and they are."""
    sentiq = launch()
    batch = wait_until(lambda: sentiq.find("tasks.worker batch"), what="the batch worker to start")
    os.kill(batch, signal.SIGSTOP)
    told = f"callers of /predict are answered at http://127.0.0.1:{sentiq.port}"
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
    sentiq.wait_until_gone()


def test_after_an_orderly_end_a_taken_port_is_told_at_once(launch: Launch) -> None:
    """A start on a folder whose last launcher ended in an orderly way waits for nobody."""
    assert launch().wait_until_ready().stop() == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sentiq = launch(PORT=taken.getsockname()[1])
        assert sentiq.ended() == 1
    assert "Cannot listen on" in sentiq.output
    assert "waiting for" not in sentiq.output


@pytest.mark.parametrize("host", ["[::1]", "::"])
def test_ipv6(launch: Launch, host: str) -> None:
    """On an IPv6 address everything works, and wherever it is printed it is in brackets, so that it can be copied."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    sentiq = launch(HOST=host, ALLOW_ANONYMOUS=1, METRICS_HOST="::1", WEB_METRICS_PORT=free_port())
    wait_until(lambda: sentiq.has_printed("ready at") or sentiq.process.poll() is not None, what="it to be ready")
    address = f"http://[::1]:{sentiq.port}"
    assert f"ready at {address} after" in sentiq.output
    curl = wait_until(lambda: next((line for line in sentiq.lines if "curl -s" in line), None), what="the curl to try")
    done = subprocess.run(f"{curl.partition('|')[2]} -g", shell=True, capture_output=True, check=True)
    assert json.loads(done.stdout)["label"]
    assert sentiq.stop() == 0


def test_port_of_ipv6_in_use(launch: Launch) -> None:
    """A taken port of an IPv6 address is told in brackets too."""
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with taken:
        port = taken.getsockname()[1]
        sentiq = launch(HOST="::1", PORT=port)
        assert sentiq.ended() == 1
    assert f"Cannot listen on [::1]:{port} (Address already in use); free it" in sentiq.output


def test_data_of_a_later_server(launch: Launch, folder: Path, tmp_path: Path) -> None:
    """Data that a later server has written are left alone, and one sentence says so."""
    (folder / "valkey").mkdir()
    (folder / "valkey" / "written-by").write_text("Valkey 99.1.0\n")
    sentiq = launch()
    assert sentiq.ended() == EX_CONFIG
    (line,) = [line for line in sentiq.lines if "waiting for" not in line]
    assert "were written by Valkey 99.1.0, and Valkey" in line
    assert "check-aof" not in sentiq.output


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
        (
            {"model": "/", "ENGINE": "compiled", "LOG_FORMAT": "json"},
            "/ has no config.json, so it is no Hugging Face model",
            EX_CONFIG,
        ),
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
    sentiq.wait_until_gone()


def test_nobody_reads_along(launch: Launch, folder: Path) -> None:
    """Other users can read nothing of DATA_DIR, not even where an earlier version left it open; and no process makes
    anything that they can read.
    """
    (folder / "valkey").mkdir()
    (folder / "launcher.lock").touch()
    for path in (folder, folder / "valkey"):
        path.chmod(0o755)
    before = os.umask(0o022)
    try:
        sentiq = launch().wait_until_ready()
    finally:
        os.umask(before)
    paths = [folder, *folder.rglob("*")]
    assert {oct(path.lstat().st_mode & 0o077) for path in paths} == {"0o0"}, paths
    masks = {
        line
        for pid in sentiq.members()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Umask")
    }
    assert masks == {"Umask:\t0077"}
    assert sentiq.stop() == 0


def test_somebodys_folder_stays_as_it_is(launch: Launch, folder: Path) -> None:
    """A DATA_DIR that holds something else too, a home perhaps, keeps its rights; what Sentiq makes in it is closed."""
    (folder / "notes").touch()
    folder.chmod(0o755)
    sentiq = launch().wait_until_ready()
    assert folder.stat().st_mode & 0o777 == 0o755
    made = [path for path in folder.iterdir() if path.name != "notes"]
    assert {oct(path.lstat().st_mode & 0o077) for path in made} == {"0o0"}, made
    assert sentiq.stop() == 0


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
    """If systemd gives the launcher a socket, the launcher reports there when everything is ready, when it upgrades at
    SIGHUP, from the beginning to the end, and when it stops; its processes report nothing, not even Gunicorn, which
    otherwise would.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(120)
        sentiq = launch(NOTIFY_SOCKET=str(folder / "notify"))
        assert manager.recv(4096) == b"READY=1"
        sentiq.wait_until_ready()
        before = sentiq.find_all("-m ")
        sentiq.process.send_signal(signal.SIGHUP)
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(4096) == b"READY=1"
        assert sentiq.http.post("/predict", json={"text": "upgraded"}).status_code == 200
        wait_until(lambda: not set(before) & set(sentiq.find_all("-m ")), what="those before to end", timeout_s=60)
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


def _another_version(venv: Path) -> None:
    (found,) = (venv / "lib").glob("python3.*")
    found.rename(found.with_name("python3.4"))


def _no_python(venv: Path) -> None:
    for path in (venv / "bin").glob("python*"):
        path.unlink()
        path.symlink_to("/nowhere/python3")


@pytest.mark.parametrize("happen", [_no_python, _another_version])
def test_python_gone(tmp_path: Path, happen: Callable[[Path], None]) -> None:
    """An environment whose Python was removed, or is of another version now, is made anew with a sentence; one that
    works is left alone, and so is one that is only asked about.
    """
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (venv / "mark").touch()

    def make(*options: str) -> str:
        command = ["make", f"VENV={venv}", f"PYTHON={sys.executable}", *options, f"{venv}/bin/python"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "made anew" not in make()
    happen(venv)
    assert "made anew" not in make("--dry-run")
    assert (venv / "mark").exists()
    assert f"The Python of {venv} is gone, or has another version now; the environment is made anew." in make()
    assert not (venv / "mark").exists()
    subprocess.run([venv / "bin" / "python", "-c", "import sysconfig"], check=True)


def test_launcher_is_what_make_runs() -> None:
    """The command with which the tests start the launcher is the one in the Makefile."""
    recipe = subprocess.run([*MAKE_RUN, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"exec {' '.join(LAUNCHER)}" in recipe
