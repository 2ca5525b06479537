"""Starts monitoring for a stack: a real Prometheus with our rules, the Redis exporter, Flower and celery-exporter."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]

from tasks.store.connections import celery_url
from tests.support.stack import ROOT, Process, Stack, free_port
from tests.support.waiting import wait_until

CONFIG = ROOT / "monitoring" / "prometheus" / "prometheus.yml"
MONITORING_PYTHON = ROOT / ".venv-monitoring" / "bin" / "python"


def make_monitoring_venv() -> str | None:
    """Makes sure that `.venv-monitoring` exists; returns what went wrong if it does not."""
    arguments = ["make", ".venv-monitoring/.done", f"VENV={sys.prefix}"]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    # Two test processes may make it at the same time.
    with (ROOT / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            made = subprocess.run(
                arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
            )
        except subprocess.TimeoutExpired:
            return "installing took too long"
    return None if made.returncode == 0 else made.stdout + made.stderr


class Watch:
    """The processes that monitor a stack. `close` ends them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        self._targets: dict[str, list[tuple[int, dict[str, str]]]] = {"sentiq-web": [(stack.port, {})]}
        self._started: list[Process] = []

    def start(self, name: str, argv: list[str], **environment: str) -> Process:
        """Starts a process that `close` ends."""

        def popen(output: int) -> subprocess.Popen[bytes]:
            variables = os.environ | environment
            return subprocess.Popen(
                argv, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
            )

        self._started.append(Process(name, popen, self.stack.folder / f"{name}.log"))
        return self._started[-1]

    def start_worker(self, role: str) -> None:
        """Starts a worker of the stack with its own metrics port."""
        port = free_port()
        self.stack.environment["METRICS_PORT"] = str(port)
        self.stack.start_worker(role, wait=False)
        self._targets.setdefault("sentiq-worker", []).append((port, {"role": role}))

    def start_redis_exporter(self) -> None:
        """Starts the Redis exporter for the stack's server, which is both cache and broker."""
        port = free_port()
        address = f"unix://{self.stack.folder / 'valkey.sock'}"
        self.start(
            "redis-exporter",
            ["prometheus-redis-exporter", "--redis.addr", address, "--web.listen-address", f"127.0.0.1:{port}"],
        )
        self._targets["redis"] = [(port, {"part": part}) for part in ("cache", "broker")]

    def start_celery(self) -> None:
        """Starts Flower and celery-exporter."""
        broker = celery_url(self.stack.url)
        flower, exporter = free_port(), free_port()
        variables = {
            "CELERY_BROKER_URL": broker,
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(flower),
            "FLOWER_URL_PREFIX": "flower",
        }
        self.start(
            "flower",
            [str(MONITORING_PYTHON), "-m", "celery", "flower"],
            **variables,
            FLOWER_BASIC_AUTH="someone:secret",
        )
        code = "from src.cli import cli; cli(auto_envvar_prefix='CE')"
        variables = {
            "CE_BROKER_URL": broker,
            "CE_HOST": "127.0.0.1",
            "CE_PORT": str(exporter),
            "CE_RETRY_INTERVAL": "1",
        }
        self.start("celery-exporter", [str(MONITORING_PYTHON), "-c", code], **variables)
        self._targets |= {"flower": [(flower, {})], "celery": [(exporter, {})]}

    def start_prometheus(self, *, rules: list[str] | None = None, alertmanager: str | None = None) -> None:
        """Starts Prometheus with our configuration, except for the targets and the intervals.

        Args:
            rules: files with rules, instead of ours.
            alertmanager: the address to which alerts are sent; without it they are not.
        """
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = rules or [str(CONFIG.parent / pattern) for pattern in config["rule_files"]]
        targets = [{"targets": [alertmanager]}] if alertmanager is not None else []
        config["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
        config["scrape_configs"] = [
            self._job(job) for job in config["scrape_configs"] if job["job_name"] in self._targets
        ]
        file = self.stack.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        data = self.stack.folder / "prometheus"
        options = [
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        process = self.start("prometheus", ["prometheus", *options])

        def ready() -> bool:
            assert process.running, process.log
            return self.http.get("/-/ready").status_code == 200

        wait_until(ready, what="Prometheus to be ready")

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in job.items() if key in ("job_name", "metrics_path")}
        if job["job_name"] == "celery":  # celery-exporter takes two seconds to answer
            kept |= {"scrape_interval": "4s", "scrape_timeout": "4s"}
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": labels} for port, labels in self._targets[job["job_name"]]
        ]
        return kept | {"static_configs": targets}

    def jobs(self) -> set[str]:
        """The names of the scrape jobs."""
        return set(self._targets)

    def series(self, query: str) -> list[dict[str, Any]]:
        """The series that a query finds now, without those whose value is NaN."""
        answer = self.http.post("/api/v1/query", data={"query": query}).json()
        assert answer["status"] == "success", f"{query}: {answer}"
        return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]

    def close(self) -> None:
        """Ends all monitoring processes."""
        self.http.close()
        for process in self._started:
            process.kill()
