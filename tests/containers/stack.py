"""Compose's stack as docs/deploy.md starts it, from a clone made with umask 077, in an engine of the tests' own."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.containers import images
from tests.containers.engine import PACKAGES, Engine, debian
from tests.support.waiting import wait_until

TIMES: list[tuple[float, str]] = []
"""How long the steps of this run took, in seconds, and facts to be told (0 s); shown at the end."""
MONITORED = 7
"""The targets of Prometheus with one container of each service and Flower."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Notes how long the block took."""
    since = time.monotonic()
    try:
        yield
    finally:
        TIMES.append((time.monotonic() - since, name))


def note(fact: str) -> None:
    """Tells a fact at the end of the run."""
    TIMES.append((0.0, fact))


def clone(target: Path) -> None:
    """The files of the working tree, as a clone with umask 077 has them; and what docs/deploy.md says to do then."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=images.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    target.mkdir(mode=0o700)
    for name in filter(None, listed.stdout.split("\0")):
        if (images.ROOT / name).is_file():
            for folder in reversed((target / name).relative_to(target).parents):
                (target / folder).mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(images.ROOT / name, target / name)
            (target / name).chmod(0o700 if os.access(images.ROOT / name, os.X_OK) else 0o600)
    subprocess.run(["chmod", "-R", "go+rX", "monitoring", "deploy"], cwd=target, check=True)


def blocks(text: str) -> list[str]:
    """The commands in a document's examples."""
    return [str(found) for found in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]


class ComposeStack:
    """The stack and what a test does to it.

    Args:
        folder: empty, for all files.
    """

    def __init__(self, folder: Path) -> None:
        self.engine = Engine(folder)
        self.clone = folder / "shared" / "sentiq"
        self.key = ""
        self.flower = secrets.token_hex(12)
        self.http = httpx.Client(base_url="http://127.0.0.1:8000", timeout=60, trust_env=False)

    # Making it

    def make(self) -> None:
        """Makes the engine, builds the images, and starts the stack."""
        folder = self.engine.folder
        with ThreadPoolExecutor(3) as pool:
            with step("Debian's packages: the engine, base images, others' servers"):
                roots = {
                    "engine": pool.submit(self._unpack_engine),
                    "slim": pool.submit(self._kept, "slim.tar", images.unpack_slim),
                }
                others = pool.submit(self._kept, "others.tar", images.unpack_others)
                for root in roots.values():
                    root.result()
            with step("the engine starts"):
                self.engine.start()
            clone(self.clone)
            with step("base images"):
                slim = folder / "slim.tar"
                for made in [pool.submit(images.make_python, self.engine, slim, version) for version in images.bases()]:
                    made.result()
            with step("build of web, worker, flower and celery-exporter; images of others"):
                self._write_env()
                building = pool.submit(self.compose, "--progress", "plain", "--profile", "pages", "build")
                others.result()
                images.make_others(self.engine, folder / "others.tar")
                building.result()
        with step("a key"):
            said = self.compose("run", "--rm", "--no-deps", "web", "sentiq", "key", "new", "ci")
            words = dict(line.split(maxsplit=1) for line in said.splitlines() if line.startswith(("key ", "entry ")))
            self.key = words["key"].strip()
            self.set_env(API_KEYS=words["entry"].strip())
        self.http.headers["Authorization"] = f"Bearer {self.key}"
        with step("up --wait"):
            self.up()
            self.compose("--profile", "pages", "up", "--detach", "--wait", "flower")

    def _unpack_engine(self) -> None:
        self._kept("engine.tar", lambda archive: debian(archive, PACKAGES, "apt"))
        self.engine.root.mkdir()
        archive = self.engine.folder / "engine.tar"
        subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={self.engine.root}"], check=True)
        archive.unlink()

    def _kept(self, name: str, make: Any) -> None:
        """Makes a root, or takes it from the folder CONTAINERS_ROOTS, where it stays for the next run."""
        target = self.engine.folder / name
        kept = os.environ.get("CONTAINERS_ROOTS")
        if kept and (Path(kept) / name).exists():
            os.symlink(Path(kept) / name, target)
            return
        make(target)
        if kept:
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, Path(kept) / f".{name}")
            (Path(kept) / f".{name}").rename(Path(kept) / name)

    def _write_env(self) -> None:
        given = {"FLOWER_BASIC_AUTH": f"admin:{self.flower}"}
        for name in ("REDIS_CACHE_PASSWORD", "REDIS_BROKER_PASSWORD", "GRAFANA_ADMIN_PASSWORD"):
            given[name] = secrets.token_hex(24)
        # What a machine of one processor sets; Docker refuses more than there is.
        given |= dict.fromkeys(("WEB_CPUS", "WORKER_CPUS"), str(min(2, os.cpu_count() or 1)))
        shutil.copyfile(self.clone / ".env.example", self.clone / ".env")
        self.set_env(**given)

    def set_env(self, **given: str) -> None:
        """Sets variables in .env, in the place where .env.example has them."""
        file = self.clone / ".env"
        lines = file.read_text().splitlines()
        for name, value in given.items():
            lines = [line for line in lines if line.lstrip("#").partition("=")[0] != name] + [f"{name}={value}"]
        file.write_text("\n".join(lines) + "\n")

    def env(self, name: str) -> str:
        """What .env says."""
        return dict(line.split("=", 1) for line in (self.clone / ".env").read_text().splitlines() if "=" in line)[name]

    def close(self) -> None:
        """Ends all of it."""
        self.http.close()
        self.engine.stop()

    # Using it

    def compose(self, *arguments: str) -> str:
        """What `docker compose` prints, in the clone.

        Raises:
            AssertionError: it failed.
        """
        return self.engine.run("docker", "compose", *arguments, at=self.clone)

    def up(self, *arguments: str) -> None:
        """`docker compose up -d --wait`, as docs/deploy.md says."""
        self.compose("up", "--detach", "--wait", *arguments)

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        (found,) = json.loads(self.engine.run("docker", "inspect", container))
        return found  # type: ignore[no-any-return]

    def containers(self) -> list[str]:
        """The names of the containers that run."""
        return sorted(self.engine.run("docker", "ps", "--format", "{{.Names}}").split())

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Asks the published port, or another address, with the key of the tests."""
        with self.engine.network():
            return self.http.request(method, path, **options)

    def predict(self, text: str) -> httpx.Response:
        """Asks for a text's prediction."""
        return self.request("POST", "/predict", json={"text": text})

    def submit(self, texts: list[str]) -> str:
        """The id of a job of these texts."""
        answer = self.request("POST", "/batch_predict", json={"texts": texts})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        """What the service tells of a job."""
        answer = self.request("GET", f"/jobs/{job}")
        return dict(answer.json()) if answer.status_code == 200 else {"status": f"{answer.status_code}"}

    def ended(self, job: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """Waits until a job has succeeded, and returns what the service tells of it."""

        def succeeded() -> dict[str, Any] | None:
            told = self.job(job)
            assert told["status"] not in ("failed", "cancelled"), told
            return told if told["status"] == "succeeded" else None

        return wait_until(succeeded, what=f"job {job} to succeed", timeout_s=timeout_s)

    def lines(self, job: str) -> list[dict[str, Any]]:
        """The results of a job, line by line."""
        answer = self.request("GET", f"/jobs/{job}/results", headers={"Accept": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def prometheus(self, path: str, **query: str) -> Any:
        """The data of an answer of Prometheus' API."""
        networks = self.inspect("sentiq-prometheus-1")["NetworkSettings"]["Networks"]
        address = networks["sentiq_inside"]["IPAddress"]
        return self.request("GET", f"http://{address}:9090/api/v1/{path}", params=query).json()["data"]

    def wait_for_targets(self, number: int) -> None:
        """Waits until this many targets of Prometheus are up, and none is down."""

        def up() -> bool:
            health = [target["health"] for target in self.prometheus("targets")["activeTargets"]]
            return health == ["up"] * number

        wait_until(up, what=f"{number} targets of Prometheus, all up", timeout_s=90)

    def wait_for(self, container: str, status: str = "healthy", *, timeout_s: float = 90) -> None:
        """Waits until a container runs with this health; if it has no health check, until it runs."""

        def reached() -> bool:
            state = self.inspect(container)["State"]
            if "Health" in state:
                return bool(state["Running"] and state["Health"]["Status"] == status)
            return bool(state["Running"])

        wait_until(reached, what=f"{container} to be {status}", timeout_s=timeout_s)

    def memory(self, container: str) -> tuple[int, int, int]:
        """A container's memory in bytes: what it used at the most, and its limit; and how often the kernel has killed
        in it, for want of memory.
        """
        found = self.inspect(container)
        (group,) = (path for path in Path("/sys/fs/cgroup").glob(f"**/{found['Id']}") if _peak_file(path) is not None)
        peak = _peak_file(group)
        assert peak is not None
        events = next(file for file in (group / "memory.events", group / "memory.oom_control") if file.exists())
        told = dict(line.split() for line in events.read_text().splitlines())
        return int(peak.read_text()), int(found["HostConfig"]["Memory"]), int(told["oom_kill"])


def _peak_file(group: Path) -> Path | None:
    """The file with the most memory that a control group has used, of either version of control groups."""
    files = (group / "memory.peak", group / "memory.max_usage_in_bytes")
    return next((file for file in files if file.exists()), None)
