"""A server with real Sentinels (the binary is the embedded server's): its death only causes a pause of seconds."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.store.connections import connect
from tasks.store.embedded import find_server
from tests.support.stack import Process, Stack, free_port
from tests.support.waiting import wait_until

PASSWORD = "s3cret/with:odd@characters"
QUOTED = "s3cret%2Fwith%3Aodd%40characters"


class Watched:
    """Two servers, of which the second replicates the first, and three Sentinels."""

    def __init__(self, folder: Path) -> None:
        binary = str(find_server())
        self.ports = [free_port() for _ in range(5)]
        first = self.ports[0]
        self.processes = []
        for number, port in enumerate(self.ports):
            home = folder / str(number)
            home.mkdir()
            lines = [f"port {port}", "bind 127.0.0.1", f"dir {home}"]
            if number < 2:
                lines += ['save ""', "appendonly yes", f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"']
                lines += [f"replicaof 127.0.0.1 {first}"] if number == 1 else []
            else:
                lines += [f"sentinel monitor sentiq 127.0.0.1 {first} 2", f'sentinel auth-pass sentiq "{PASSWORD}"']
                lines += ["sentinel down-after-milliseconds sentiq 1000", "sentinel failover-timeout sentiq 5000"]
            config = home / "server.conf"
            config.write_text("\n".join(lines) + "\n")
            argv = [binary, str(config), *(["--sentinel"] if number >= 2 else [])]
            self.processes.append(self._start(argv, home / "log"))
        # Ends them if the test run is killed.
        pids = [str(process.pid) for process in self.processes]
        self._guard = subprocess.Popen(
            ["sh", "-c", 'cat >/dev/null; kill -KILL "$@"', "sh", *pids], stdin=subprocess.PIPE, start_new_session=True
        )

    @staticmethod
    def _start(argv: list[str], log: Path) -> Process:
        return Process(
            argv[-1], lambda output: subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True), log
        )

    @property
    def url(self) -> str:
        """The URL, as it is set in REDIS_URL."""
        _, _, one, *others = self.ports
        return (
            f"redis://:{QUOTED}@127.0.0.1:{one}/0?sentinel=sentiq"
            f"&sentinels={','.join(f'127.0.0.1:{port}' for port in others)}"
        )

    def agreed(self) -> bool:
        """Whether each Sentinel knows the replica and the two others."""
        for port in self.ports[2:]:
            client: Any = redis.Redis(port=port, decode_responses=True, retry=Retry(NoBackoff(), 0))
            # Else they ask the servers every 10 s, and tell each other of themselves every 2 s.
            client.execute_command("SENTINEL DEBUG", "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200)
            told = client.sentinel_master("sentiq")
            if told["num-slaves"] < 1 or told["num-other-sentinels"] < 2:
                return False
        return True

    def close(self) -> None:
        """Ends all servers and Sentinels."""
        for process in self.processes:
            process.kill()
        self._guard.communicate()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A server that Sentinels watch, with a replica that is up to date."""
    one = Watched(tmp_path)
    try:
        wait_until(one.agreed, what="the Sentinels to know each other")
        client: Any = connect(one.url, timeout_s=2.0)
        wait_until(
            lambda: client.info("replication")["slave0"]["state"] == "online",
            what="the copy to follow",
        )
        yield one
    finally:
        one.close()


def test_the_server_dies(watched: Watched, make_stack: Callable[..., Stack]) -> None:
    """When the server, and the Sentinel that is asked first, are killed during a job, callers are answered again and
    the job ends complete, without restarting a process of Sentiq.
    """
    stack = make_stack(REDIS_URL=watched.url, WEB_CONCURRENCY=1)
    stack.redis = connect(watched.url, timeout_s=2.0)
    workers = [stack.start_worker("interactive"), stack.start_worker("batch")]
    stack.start_web()
    job = stack.submit([f"good {number} {uuid.uuid4().hex}" for number in range(1500)])
    wait_until(lambda: stack.http.get(job["links"]["self"]).json()["done"] > 0, what="the job to begin")
    watched.processes[0].kill()
    watched.processes[2].kill()
    assert stack.predict(f"good {uuid.uuid4().hex}").status_code == 503
    wait_until(
        lambda: stack.predict(f"good {uuid.uuid4().hex}").status_code == 200,
        what="an answer by the other server",
        timeout_s=90,
    )
    job = stack.ended(job, timeout_s=90)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 1500, 0)
    assert all(worker.running for worker in workers)
    assert stack.redis.info("replication")["role"] == "master"
