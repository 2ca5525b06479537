"""What MONITORING=1 adds: Flower and celery-exporter, which run in an environment of their own, and metrics ports for
the workers.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

import tasks.parent
from tasks.addresses import with_port
from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.models import each_once
from tasks.settings import Settings
from tasks.store.connections import celery_url
from webapp.launch.processes import ROLES, Child, Console, StartFailed

_PYTHON = Path(".venv-monitoring") / "bin" / "python"
"""Relative to the current folder: a checkout, where make creates it, or any other folder."""
_FIRST_WORKER_PORT = 9101
_EXPORTER_PORT = 9808
LOCAL = frozenset(f"127.0.0.1:{port}" for port in (_FIRST_WORKER_PORT, _FIRST_WORKER_PORT + 1, _EXPORTER_PORT))
"""What monitoring/prometheus/local.yml scrapes of the pages below."""
_ON = {"1", "true", "t", "yes", "y", "on"}
_OFF = {"", "0", "false", "f", "no", "n", "off"}
_SHOWN = 40
"""The most characters of a bad value that a message repeats."""
# Neither may outlive the launcher. The file is run by its path, because their environment does not have Sentiq
# installed.
_FOLLOW = f"import runpy; runpy.run_path({tasks.parent.__file__!r})['follow_parent'](); "
_FLOWER = (
    _FOLLOW
    + "import sys; from celery.__main__ import main; sys.argv = ['celery', 'flower', '--logging=warning']; main()"
)
_EXPORTER = _FOLLOW + "from src.cli import cli; cli(auto_envvar_prefix='CE')"
"""The package installs no command; its container image runs this."""


def monitored() -> bool:
    """Whether MONITORING is on.

    Raises:
        SettingsRefused: its value says neither yes nor no.
    """
    value = os.environ.get("MONITORING", "").lower()
    if value not in _ON | _OFF:
        raise SettingsRefused(f"MONITORING: must be true or false (1 or 0), and not {value[:_SHOWN]!r}")
    return value in _ON


def worker_ports(settings: Settings) -> dict[str, dict[str, str]]:
    """The environment variable that gives each worker its metrics port: METRICS_PORT, or 9101 with monitoring, and the
    next ports.
    """
    usual = _FIRST_WORKER_PORT if monitored() else 0
    first = settings.metrics_port or usual
    workers = [f"{role}{model.at}" for model in each_once(settings.served) for role in ROLES]
    return {name: {"METRICS_PORT": str(first + number)} for number, name in enumerate(workers)} if first else {}


def monitor_ports() -> dict[str, int]:
    """The ports of Flower and celery-exporter, by the variables that set them.

    Raises:
        StartFailed: one is no port.
    """
    ports = {}
    for name, usual in (("FLOWER_PORT", 5555), ("CE_PORT", _EXPORTER_PORT)):
        text = os.environ.get(name) or str(usual)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise StartFailed(f"{name} must be a port, a number from 1 to 65535.")
        ports[name] = int(text)
    return ports


def flower_address() -> str:
    """Where Flower is. Raises StartFailed: its port is no port."""
    return f"http://127.0.0.1:{monitor_ports()['FLOWER_PORT']}/flower/"


def pages_line(pages: Sequence[str]) -> str:
    """Where the metrics are, and who reads them."""
    file = "monitoring/prometheus/local.yml"
    scraped = f"{file} scrapes them" if LOCAL.issuperset(pages) else f"put these ports into {file} to have them scraped"
    return f"metrics at {', '.join(f'http://{page}/metrics' for page in pages)}; {scraped}"


class Monitor(Child):
    """A process whose death does not make the start fail: the service works without it."""

    def revive(self, *, starting_up: bool) -> None:
        """See `Child.revive`."""
        super().revive(starting_up=False)

    def buried(self, process: subprocess.Popen[bytes]) -> None:
        """It has no metrics among the web's."""


def monitors(settings: Settings, environment: dict[str, str], console: Console) -> list[Child]:
    """Flower and celery-exporter, on the loopback address. Prints their addresses, and the password if it was made up.

    Raises:
        StartFailed: their environment does not exist.
    """
    if not _PYTHON.exists():
        raise StartFailed(
            "Flower is not installed; `make run MONITORING=1` installs it, and so does `make .venv-monitoring/.done`."
            " Without make: create it here with python3 -m venv .venv-monitoring, and install what the source lists in"
            " monitoring/requirements.txt.",
            EX_CONFIG,
        )
    flower_port, exporter_port = map(str, monitor_ports().values())
    # Not the web's metrics folder: what they count would be on the web's page too.
    environment = {name: value for name, value in environment.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    login = environment.get("FLOWER_BASIC_AUTH")
    # In variables, not in arguments, which everybody on the machine can read.
    flower = environment | {
        "CELERY_BROKER_URL": celery_url(settings.broker_url),
        "FLOWER_ADDRESS": "127.0.0.1",
        "FLOWER_PORT": flower_port,
        "FLOWER_URL_PREFIX": "flower",
        "FLOWER_BASIC_AUTH": login or f"sentiq:{secrets.token_urlsafe(12)}",
    }
    exporter = environment | {
        "CE_BROKER_URL": celery_url(settings.broker_url),
        "CE_HOST": "127.0.0.1",
        "CE_PORT": exporter_port,
        "CE_RETRY_INTERVAL": "5",
        "CE_LOG_LEVEL": "WARNING",
    }
    password = f"; log in as {flower['FLOWER_BASIC_AUTH']} (FLOWER_BASIC_AUTH sets it)" if login is None else ""
    console.print("sentiq", f"Flower at {flower_address()}{password}")
    pages = [with_port(settings.metrics_host, ports["METRICS_PORT"]) for ports in worker_ports(settings).values()]
    pages.append(f"127.0.0.1:{exporter_port}")
    console.print("sentiq", pages_line(pages))
    return [
        Monitor("flower", [str(_PYTHON.absolute()), "-c", _FLOWER], flower, console),
        Monitor("exporter", [str(_PYTHON.absolute()), "-c", _EXPORTER], exporter, console),
    ]
