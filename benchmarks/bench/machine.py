"""Facts about the measurement: machine, versions, and the memory of processes."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.services import ROOT
from tasks.settings import Settings

_KINDS = {
    "tasks.worker interactive": "worker for /predict",
    "tasks.worker batch": "worker for jobs",
    "sentiq serve": "launcher",
    "gunicorn": "Gunicorn",
    "uvicorn": "uvicorn",
    "valkey-server": "Redis server",
    "redis-server": "Redis server",
    "litserve_server": "LitServe",
    "infinity_emb": "infinity",
    "spawn_main": "child process",
}
_PACKAGES = {
    "Sentiq": "flask gunicorn gevent celery redis openvino",
    "baseline": "fastapi uvicorn transformers torch redis",
    "LitServe": "litserve",
    "infinity": "infinity_emb transformers torch",
}


def memory(pids: Iterable[int]) -> list[tuple[str, float]]:
    """The kind and the proportional set size in MB of each process."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            sizes = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
            pss_kib = next(int(size[1]) for size in sizes if size[0] == "Pss:")
            kind = next((name for mark, name in _KINDS.items() if mark in words), "other")
            found.append((kind, pss_kib * 1024 / 1e6))
    return sorted(found, key=lambda each: (each[0] == "other", each[0]))


def facts(command: str) -> dict[str, Any]:
    """Command, date, machine, source and settings; called before any load."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    given = [
        f"{name}={os.environ[name]}"
        for name in map(str.upper, Settings.model_fields)
        if name in os.environ and "URL" not in name
    ]
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB,"
        f" {platform.system()}",
        "load before": f"{os.getloadavg()[0]:.2f} processes on average, in the minute before",
        "Sentiq": git.stdout.strip() or "unknown",
        "settings": ", ".join(given) or "defaults",
    }


def versions(pythons: dict[str, Path]) -> str:
    """The versions of Python, wrk and the libraries, Sentiq's and those of the other systems."""
    script = "import sys, importlib.metadata as m; print(', '.join(n + ' ' + m.version(n) for n in sys.argv[1:]))"
    told = [f"Python {platform.python_version()}"]
    for name, python in {"Sentiq": Path(sys.executable), **pythons}.items():
        done = subprocess.run(
            [str(python), "-c", script, *_PACKAGES[name].split()], capture_output=True, text=True, check=True
        )
        told.append(f"{name}: {done.stdout.strip()}")
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split("[")[0].strip()
    return "; ".join([*told, wrk])
