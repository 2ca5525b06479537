"""A worker process: `python -m tasks.worker interactive|batch [--model NAME]`.

This module does what has to be done before any library is loaded; `tasks.work.compose` makes the parts.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tasks.errors import SettingsRefused, refuse_to_start
from tasks.logs import configure_logs
from tasks.models import DEFAULT, Model, model_named
from tasks.parent import follow_parent
from tasks.private import keep_private
from tasks.settings import Settings, load_settings
from tasks.tracing import require_tracing
from tasks.work.place import pin_device
from tasks.work.roles import ROLES, Role


def run(role: Role, name: str = DEFAULT) -> None:
    """Serves the queue of a role until SIGTERM, and then finishes the chunks that were begun.

    Args:
        role: the role.
        name: the name of the model, as MODELS has it.
    """
    keep_private()
    settings, model = _settings(name)
    configure_logs(settings.log_level, settings.log_format, f"{role.name}{model.at}")
    parent = follow_parent()
    if settings.metrics_port:  # before the metrics are made: they must not be on the web's page as well
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    device = pin_device(settings.device)
    _end_at_once()

    from model.errors import ModelError
    from tasks.work.compose import compose, warm_engine

    try:
        engine = warm_engine(settings, role, model, device)
    except ModelError as error:
        refuse_to_start(error)
    compose(settings, role, model, engine, watched=[parent] if parent is not None else []).run()


def _end_at_once() -> None:
    """Signals end the worker at once before it takes chunks, for it has nothing to finish, whatever it compiles."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.getpid() == 1:  # the kernel keeps a container's first process from signals that it does not handle
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def _settings(name: str) -> tuple[Settings, Model]:
    for callers in ("API_KEYS", "API_KEYS_FILE"):  # the web's alone: a fault in them is no reason to score nothing
        os.environ.pop(callers, None)
    try:
        settings = load_settings()
        require_tracing(settings)
        return settings, model_named(name, settings.served)
    except SettingsRefused as error:
        refuse_to_start(error)


def main(arguments: list[str]) -> None:
    """Runs a Sentiq worker: `interactive` for waiting callers, `batch` for jobs; `--model NAME` for a model of MODELS
    other than `*`.
    """
    role, *options = arguments or [""]
    if role not in ROLES or len(options) not in (0, 2) or options[:1] not in ([], ["--model"]):
        sys.exit(f"usage: python -m tasks.worker {'|'.join(ROLES)} [--model NAME]")
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # celeryconfig.py is beside the packages
    run(ROLES[role], *options[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
