"""A worker process: `python -m tasks.worker interactive|batch`.

This module does what has to be done before any library is loaded; `tasks.work.compose` makes the parts.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tasks.errors import SettingsRefused, refuse_to_start
from tasks.logs import configure_logs
from tasks.parent import follow_parent
from tasks.private import keep_private
from tasks.settings import Settings, load_settings
from tasks.tracing import require_tracing
from tasks.work.place import lower_priority, pin_device
from tasks.work.roles import ROLES, Role


def run(role: Role) -> None:
    """Serves the queue of a role until SIGTERM, and then finishes the chunks that were begun."""
    keep_private()
    settings = _settings()
    configure_logs(settings.log_level, settings.log_format, role.name)
    parent = follow_parent()
    if settings.metrics_port:  # before the metrics are made: they must not be on the web's page as well
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    lower_priority(role.niceness)
    device = pin_device(settings.device)
    _end_at_once()

    from model.errors import ModelError
    from tasks.work.compose import compose, warm_engine

    try:
        engine = warm_engine(settings, role, device)
    except ModelError as error:
        refuse_to_start(error)
    compose(settings, role, engine, watched=[parent] if parent is not None else []).run()


def _end_at_once() -> None:
    """Signals end the worker at once before it takes chunks, for it has nothing to finish, whatever it compiles."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.getpid() == 1:  # the kernel keeps a container's first process from signals that it does not handle
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def _settings() -> Settings:
    try:
        settings = load_settings()
        require_tracing(settings)
    except SettingsRefused as error:
        refuse_to_start(error)
    return settings


def main(arguments: list[str]) -> None:
    """Runs a Sentiq worker: `interactive` for waiting callers, `batch` for jobs."""
    if len(arguments) != 1 or arguments[0] not in ROLES:
        sys.exit(f"usage: python -m tasks.worker {'|'.join(ROLES)}")
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # celeryconfig.py is beside the packages
    run(ROLES[arguments[0]])


if __name__ == "__main__":
    main(sys.argv[1:])
