"""Gunicorn's configuration: `gunicorn -c python:webapp.server.gunicorn_conf webapp.wsgi:app`, with the same settings as
everything else.
"""

import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from tasks.addresses import with_port
from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.logs import configure_logs
from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.parent import follow_parent
from tasks.private import keep_private
from tasks.settings import load_settings
from tasks.tracing import require_tracing
from webapp.server import metrics_folder
from webapp.server.exposure import refuse_open_door

try:
    _settings = load_settings()
    refuse_open_door(_settings)
    require_tracing(_settings)
except SettingsRefused as error:
    print(f"Sentiq cannot start: {error}", file=sys.stderr, flush=True)
    sys.exit(EX_CONFIG)
keep_private()
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder.metrics_folder(_settings.data_dir))
_metrics = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
_launched = PARENT_VARIABLE in os.environ
"""Whether the launcher has started this, and sees to the metrics' folder."""

bind = [with_port(_settings.host, _settings.port)]
if _settings.web_metrics_port:
    bind.append(with_port(_settings.metrics_host, _settings.web_metrics_port))
workers = _settings.web_concurrency
# Callers wait without holding a thread: with 64 callers blocked, cache hits kept a p99 of 14 ms (gthread with 16
# threads: 2.5 s).
worker_class = "webapp.server.worker.Worker"
worker_connections = 2000
timeout = 60
graceful_timeout = 15
keepalive = 30
# Gunicorn puts it into the home directory, where two instances of one user would collide.
control_socket_disable = True
loglevel = "warning"
configure_logs(_settings.log_level, _settings.log_format, "web")


class logger_class(Logger):  # type: ignore[misc]
    """Gunicorn's records take the way of all others."""

    def setup(self, cfg: object) -> None:
        """See `Logger.setup`."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


limit_request_line = 8190
limit_request_fields = 64


def on_starting(server: object) -> None:
    """Once, in the master: metrics begin anew, in a folder that must be empty."""
    follow_parent()
    if not _launched:
        metrics_folder.empty(_metrics)
    _metrics.mkdir(parents=True, exist_ok=True)


def on_exit(server: object) -> None:
    """Once, in the master."""
    if not _launched:
        metrics_folder.remove(_metrics)


def child_exit(server: object, worker: Any) -> None:
    """In the master: a dead process's gauges no longer count."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
