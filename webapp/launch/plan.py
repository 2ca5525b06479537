"""What the launcher starts, and with which settings: a plan, made from the code and the settings of the moment.

For an upgrade the plan is made by a process of its own, which reads the code, the file of `--config` and the keys as
they are then. The launcher itself goes on with the code that it was started with, so a plan is a format between two
versions: fields may be added to it, and none taken away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from tasks.errors import CANNOT_START, SettingsRefused
from tasks.keys import Scope, new_key
from tasks.models import each_once
from tasks.settings import Settings
from webapp.launch import systemd
from webapp.launch.conditions import require_redis
from webapp.launch.monitors import flower_address, monitored, worker_ports
from webapp.launch.processes import StartFailed, code_of_ours, processes_of

ASKED = "SENTIQ_PLAN"
"""The environment variable that makes `sentiq serve` print its plan and end."""
_COMMAND = "import sys; from webapp.client.cli import main; sys.argv[0] = 'sentiq'; main()"
_LOOK_S = 0.1


@dataclass(frozen=True)
class Plan:
    """What is to run."""

    data_dir: str
    embedded: bool
    """Whether the embedded server is used."""
    host: str
    port: int
    metrics: tuple[str, int] | None
    """The host and port of the web's metrics, if they have their own."""
    processes: dict[str, list[str]]
    """For each process, by name, the arguments of Python."""
    environment: dict[str, str]
    """That of all processes."""
    own: dict[str, dict[str, str]]
    """Further variables of single processes."""
    models: list[str | None]
    """The names of the models, each once; None stands for that of requests without a name."""
    max_text_chars: int
    key: str | None
    """An API key for the first prediction, if keys are needed; it is not used after that."""

    @property
    def places(self) -> list[tuple[str, int]]:
        """Where the web listens."""
        return [(self.host, self.port), *([self.metrics] if self.metrics is not None else [])]

    @staticmethod
    def read(text: str) -> Plan:
        """A plan as `written` by another version. Raises ValueError or TypeError if it is none."""
        given = json.loads(text)
        known = {field.name: given[field.name] for field in fields(Plan) if field.name in given}
        if known.get("metrics") is not None:
            known["metrics"] = tuple(known["metrics"])
        return Plan(**known)

    def written(self) -> str:
        """The plan as text, in one line."""
        return json.dumps(asdict(self))


def make_plan(settings: Settings) -> Plan:
    """The plan for these settings, in this process's environment."""
    environment = os.environ | {"DATA_DIR": str(settings.data_dir.absolute()), **code_of_ours()}
    environment.pop(systemd.VARIABLE, None)  # Gunicorn would report that all is ready when only Gunicorn is
    environment.pop(ASKED, None)
    if monitored() and settings.flower_url is None:
        environment["FLOWER_URL"] = flower_address()
    key = None
    if settings.keys:
        key, entry = new_key("launcher", [Scope.PREDICT])
        environment["API_KEYS"] = f"{os.environ.get('API_KEYS', '')} {entry}"
    metrics = (settings.metrics_host, settings.web_metrics_port) if settings.web_metrics_port else None
    return Plan(
        data_dir=environment["DATA_DIR"],
        embedded=settings.embedded,
        host=settings.host,
        port=settings.port,
        metrics=metrics,
        processes={name: list(words) for name, words in processes_of(settings).items()},
        environment=dict(environment),
        own=worker_ports(settings),
        models=[None if model.is_default else model.name for model in each_once(settings.served)],
        max_text_chars=settings.max_text_chars,
        key=key,
    )


def require_servers(settings: Settings, *, embedded: bool = True) -> None:
    """Checks that all Redis servers answer; `embedded`: also the embedded one. Raises StartFailed if one does not."""
    for name, url in {
        "REDIS_URL": settings.cache_url,
        "CELERY_BROKER_URL": settings.broker_url,
        "CELERY_RESULT_BACKEND": settings.results_url,
    }.items():
        if embedded or not settings.embedded or url != settings.cache_url:
            require_redis(name, url)


def print_plan(settings: Settings) -> None:
    """Prints the plan for a launcher that asked for it.

    Raises:
        SettingsRefused: a server does not answer.
    """
    try:
        require_servers(settings, embedded=False)  # the launcher has its own, or says that there can be no other
    except StartFailed as error:
        raise SettingsRefused(str(error)) from None
    print(make_plan(settings).written(), flush=True)


class Anew:
    """Makes the plan anew, as if the same command were given now, in the environment in which it was given first."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """`arguments`: those of `sentiq`."""
        self._arguments = list(arguments)
        self._environment = dict(environment)

    def plan(self, meanwhile: Callable[[], bool]) -> Plan | None:
        """The plan. `meanwhile` is called again and again; if it returns False, there is no plan: None.

        Raises:
            StartFailed: the settings or the code cannot be used; the sentence says why.
        """
        asking = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND, *self._arguments],
            env=self._environment | code_of_ours() | {ASKED: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        while True:
            try:
                told, complaints = asking.communicate(timeout=_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                if not meanwhile():
                    asking.kill()
                    asking.communicate()
                    return None
        try:
            if asking.returncode == 0:
                return Plan.read(told.strip().rpartition("\n")[2])
        except (ValueError, TypeError, LookupError):
            complaints = "what is installed now is too different; restart it instead"
        why = complaints.strip().rpartition("\n")[2] or f"`sentiq serve` ended with status {asking.returncode}"
        raise StartFailed(why.removeprefix(CANNOT_START))
