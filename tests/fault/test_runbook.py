"""The procedures of docs/runbook.md: each block of commands is run as it stands, on a real service, and what it
promises is checked.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from standardwebhooks import Webhook, WebhookVerificationError

from tasks.keys import Scope, new_key
from tasks.store.connections import connect
from tests.e2e.test_cli import Terminal
from tests.fault.test_rolling_upgrade import WITH_STREAMS, code_of
from tests.support.disks import small_disk
from tests.support.host import Host, blocks
from tests.support.receiver import Receiver
from tests.support.stack import ROOT, free_port
from tests.support.texts import new_text, new_texts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(400)
SECRET, NEW_SECRET = f"whsec_{'YWFh' * 8}", f"whsec_{'YmJi' * 8}"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host on which the service runs. Each test leaves it running, on the embedded server."""
    host = Host(CALLBACK_SECRET=SECRET, CALLBACK_ALLOW_PRIVATE="true")
    try:
        host.systemctl("start")
        yield host
    finally:
        print(host.log[-20_000:])
        host.close()


class Kept:
    """What has to be there after a procedure: a job's results, a stream's counts and a known text."""

    def __init__(self, host: Host, stream: str) -> None:
        self._host, self._stream = host, stream
        self._text, texts = new_text(), new_texts(20)
        assert host.predict(self._text, prefer="wait=30").status_code == 200
        self.job = host.ended(host.submit(texts))
        self._items = host.items(self.job)
        assert [item["text"] for item in self._items] == texts
        assert host.http.put(f"/streams/{stream}", json={}).status_code == 201
        prefer = {"Prefer": "wait=30"}
        host.http.post(f"/streams/{stream}/texts", json={"texts": new_texts(9)}, headers=prefer).raise_for_status()
        wait_until(lambda: self._counted() == 9, what="the stream's texts to be counted")

    def _counted(self) -> int:
        return int(self._host.http.get(f"/streams/{self._stream}").json()["texts"])

    def check(self) -> None:
        """Checks that it is, and that what comes in is answered."""
        assert self._host.items(self.job) == self._items
        assert self._counted() == 9
        known = self._host.predict(self._text)
        assert (known.status_code, known.json()["cached"]) == (200, True)
        assert self._host.predict(new_text(), prefer="wait=30").status_code == 200
        assert self._host.ended(self._host.submit(["good", new_text()]))["status"] == "succeeded"


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process stands still during the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_every_block_is_run() -> None:
    """No block of the procedures is left out here."""
    run = re.findall(r'(?:follow|script)\("([^"]+)"(?:, (\d))?', Path(__file__).read_text())
    there = {(heading, str(number)) for heading, found in blocks().items() for number in range(len(found))}
    assert len(there) > 10
    assert {(heading, number or "0") for heading, number in run} == there


def test_backup_and_restore(host: Host) -> None:
    """After a restore all is as it was at the time of the backup: what has been removed since is there, what has come
    in since is not, and a job that waited then is done.
    """
    kept = Kept(host, "kept")
    with frozen(host.worker("batch")):
        waiting = host.submit(new_texts(700))
        host.follow("Backup")
    assert (host.backups / "sentiq.rdb").stat().st_mode & 0o077 == 0
    assert host.http.delete(f"{kept.job['links']['self']}?purge=1").status_code == 204
    assert host.http.delete("/streams/kept").status_code == 204
    later = host.submit(["good"])
    host.follow("Restore")
    kept.check()
    assert host.http.get(later["links"]["self"]).status_code == 404
    done = host.ended(waiting)
    assert (done["status"], done["done"]) == ("succeeded", 700)


def test_upgrade_and_rollback(host: Host, tmp_path: Path) -> None:
    """After a rollback the version before answers, and has what this one has accepted; after the upgrade this one does
    again, with a backup of before.
    """
    before, kept = host.version("before", code_of(WITH_STREAMS, tmp_path)), Kept(host, "versions")
    assert host.http.get("/queue").status_code == 200
    host.follow("Rollback", OLD=str(before))
    assert host.http.get("/queue").status_code == 404  # it had none yet
    kept.check()
    of_before = host.submit(["good", "bad"])
    host.follow("Upgrade", NEW=str(host.folder / "this"))
    assert host.http.get("/queue").status_code == 200
    kept.check()
    assert host.ended(of_before)["done"] == 2
    assert (host.backups / "before-upgrade.rdb").stat().st_size > 1000


def test_api_key(host: Host) -> None:
    """Both keys are valid until the old one is taken away, so that whoever changes in between is never refused."""
    old, entry = new_key("ann", [Scope.PREDICT, Scope.JOBS])
    with host.keys_file.open("a") as file:
        file.write(f"{entry}\n")
    body, now, over, statuses = {"text": new_text()}, [old], threading.Event(), set[int]()

    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(f"{host.http.base_url}/predict", json=body, headers=headers, trust_env=False).status_code

    def call() -> None:
        while not over.wait(0.02):
            statuses.add(status(now[0]))

    wait_until(lambda: status(old) == 200, what="the old key to be known")
    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    try:
        host.follow("An API key")
        (new,) = re.findall(r"^key +(\S+)$", (host.backups / "ann.txt").read_text(), re.MULTILINE)
        wait_until(lambda: status(new) == 200, what="the new key to be known")
        assert status(old) == 200
        now[0] = new
        host.follow("An API key", 1)
        wait_until(lambda: status(old) == 401, what="the old key to be refused")
        assert status(new) == status(host.key) == 200
    finally:
        over.set()
        caller.join(60)
    assert statuses == {200}


def test_callback_secret(host: Host, receiver: Receiver) -> None:
    """After the change callbacks are signed with the new secret, and only with that."""

    def signed_with() -> list[str]:
        receiver.requests.clear()
        receiver.bodies.clear()
        answer = host.http.post("/batch_predict", json={"texts": ["good"], "callback_url": receiver.url})
        assert answer.status_code == 202, answer.text
        wait_until(lambda: receiver.bodies and receiver.requests, what="the callback")
        found = []
        for secret in (SECRET, NEW_SECRET):
            with suppress(WebhookVerificationError):
                Webhook(secret).verify(receiver.bodies[0], dict(receiver.requests[0].headers))
                found.append(secret)
        return found

    assert signed_with() == [SECRET]
    host.follow("The secret of callbacks", NEW_SECRET=NEW_SECRET)
    assert signed_with() == [NEW_SECRET]


def test_stuck_queue(host: Host) -> None:
    """A queue that nobody takes from is seen, and freed by those who say yes; afterwards jobs run as before."""
    with frozen(host.worker("batch")):
        jobs = [host.submit(new_texts(600)) for _ in range(2)]
        terminal = Terminal(["sh", "-c", host.script("A stuck queue")], host.folder, host.environment)
        terminal.wait_for(r"batch +(ops )?.*2 +1,200")
        terminal.wait_for(r"Cancel 2 jobs\?")
        terminal.type("y\n")
        terminal.wait_for("Cancelled 2 jobs")
        terminal.wait_for(r"Cancel 0 jobs.*, and empty\s+the queues\?")
        terminal.type("y\n")
        assert re.search(r"removed [1-9]\d* message", terminal.ended())
        assert host.http.get("/queue").json() == {"items": []}
        assert {host.http.get(job["links"]["self"]).json()["status"] for job in jobs} == {"cancelled"}
    assert host.ended(host.submit(new_texts(3)))["status"] == "succeeded"


@pytest.mark.debian("redis-tools")
def test_other_servers(host: Host) -> None:
    """Jobs, streams and known texts move to a Redis of one's own, live through a change of its password, and move to
    another one and back.
    """
    kept = Kept(host, "moving")
    first, second = (_Server(host, name) for name in ("first", "second"))
    host.follow("Another Redis", DATA_DIR=str(host.data), NEW_URL=first.url("abc123"), **first.variables("abc123"))
    assert first.holds(kept, "abc123")
    kept.check()
    changed = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(first.port), "REDIS_CONF": str(first.conf)}
    host.follow("The password of Redis", OLD_PASSWORD="abc123", NEW_PASSWORD="def456", **changed)
    with pytest.raises(redis.AuthenticationError):
        first.holds(kept, "abc123")
    assert "requirepass def456" in first.conf.read_text()
    kept.check()
    host.follow("Another Redis", 1, NEW_URL=second.url("ghi789"), **second.variables("ghi789"))
    first.end("def456")
    assert second.holds(kept, "ghi789")
    kept.check()
    host.follow("Backup")
    lines = host.settings_file.read_text().splitlines(keepends=True)
    host.settings_file.write_text("".join(line for line in lines if not line.startswith("REDIS_URL=")))
    host.follow("Restore")
    second.end("ghi789")
    kept.check()


class _Server:
    """What is needed for a Redis of one's own."""

    def __init__(self, host: Host, name: str) -> None:
        self.port = free_port()
        self.conf, self._folder = host.folder / f"{name}.conf", host.folder / name

    def url(self, password: str) -> str:
        return f"redis://:{password}@127.0.0.1:{self.port}/0"

    def variables(self, password: str) -> dict[str, str]:
        """The procedure's variables, with a file of settings."""
        given = (ROOT / "deploy" / "redis" / "broker.conf").read_text()
        self.conf.write_text(f"{given}bind 127.0.0.1\nport {self.port}\nrequirepass {password}\n")
        return {"REDIS_CONF": str(self.conf), "REDIS_DIR": str(self._folder)}

    def _client(self, password: str) -> Any:
        return connect(self.url(password), timeout_s=5)

    def holds(self, kept: Kept, password: str) -> bool:
        """Whether it has the job."""
        return any(self._client(password).scan_iter(f"sentiq:j:*{kept.job['id']}*", count=1000))

    def end(self, password: str) -> None:
        """Ends it."""
        with suppress(redis.ConnectionError):
            self._client(password).shutdown(nosave=True)


def test_full_disk() -> None:
    """A disk that the append-only file fills ends in clear refusals; after the procedure there is room, and all that
    was accepted is there.
    """
    host = Host()
    try:
        with small_disk(host.data, "40m"):
            host.systemctl("start")
            kept = Kept(host, "full")
            _fill(host)
            refused = wait_until(lambda: _refused(host), what="an unknown text to be refused")
            assert (refused.status_code, refused.json()["code"]) == (503, "storage_full")
            assert int(refused.headers["Retry-After"]) > 0
            answer = host.http.post("/batch_predict", json={"texts": new_texts(2)})
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
            assert "Redis stores nothing, as its disk is full" in host.log
            told = host.follow("A full disk", DATA_DIR=str(host.data))
            assert re.search(r"\b(100|9\d)% .*/data$", told, re.MULTILINE), told
            assert re.search(r"^(3\d|40)M\s.*/valkey$", told, re.MULTILINE), told
            host.follow("A full disk", 1)
            kept.check()
            assert "valkey" in (left := host.follow("A full disk", DATA_DIR=str(host.data)))
            assert not re.search(r"^[\d.]+M\s.*/valkey$", left, re.MULTILINE), left
            host.systemctl("stop")
    finally:
        print(host.log[-20_000:])
        host.close()


def _refused(host: Host) -> httpx.Response | None:
    answer = host.predict(new_text())
    return answer if answer.status_code == 503 else None


def _fill(host: Host) -> None:
    """Writes one key again and again: little is kept, and the append-only file grows until its disk is full."""
    client: Any = connect(f"unix://{host.data}/valkey.sock?db=0", timeout_s=5)
    with suppress(redis.RedisError):
        for _ in range(100):
            client.set("filler", os.urandom(1 << 20), ex=1)
        raise AssertionError("the disk did not become full")
