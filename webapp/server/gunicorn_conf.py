"""Gunicorn's configuration: `gunicorn -c python:webapp.server.gunicorn_conf webapp.wsgi:app`, with the same settings as
everything else.
"""

import os
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from tasks.addresses import with_port
from tasks.errors import SettingsRefused, refuse_to_start
from tasks.logs import configure_logs
from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.parent import follow_parent
from tasks.private import keep_private
from tasks.settings import load_settings
from tasks.tracing import require_tracing
from webapp.server import handover, metrics_folder
from webapp.server.exposure import refuse_open_door, refuse_unknown_callers

try:
    _settings = load_settings()
    refuse_open_door(_settings)
    refuse_unknown_callers(_settings)
    require_tracing(_settings)
except SettingsRefused as error:
    refuse_to_start(error)
keep_private()
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder.metrics_folder(_settings.data_dir))
_metrics = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
_launched = PARENT_VARIABLE in os.environ
"""Whether the launcher has started this; the launcher then looks after the folder of metrics."""

bind = handover.addresses()
if not bind:
    bind.append(with_port(_settings.host, _settings.port))
    if _settings.web_metrics_port:
        bind.append(with_port(_settings.metrics_host, _settings.web_metrics_port))
workers = _settings.web_concurrency
# With gevent, callers wait without occupying a thread: while 64 callers waited, the p99 of cache hits stayed at 14 ms
# (gthread with 16 threads: 2.5 s).
worker_class = "webapp.server.worker.Worker"
worker_connections = 2000
timeout = 60
graceful_timeout = 15
keepalive = _settings.keep_alive
# The path below which a proxy serves the API is a setting (URL_PREFIX). A header could come from any caller, and the
# variable from any shell.
forwarder_headers = ""
os.environ.pop("SCRIPT_NAME", None)
# The control socket would lie in the home directory, where two services of one user would collide.
control_socket_disable = True
loglevel = "warning"
configure_logs(_settings.log_level, _settings.log_format, "web")


class logger_class(Logger):  # type: ignore[misc]
    """Sends Gunicorn's log records the way of all others."""

    def setup(self, cfg: object) -> None:
        """See `Logger.setup`."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def reopen_files(self) -> None:
        """Runs in the master and in its workers at SIGUSR1, which the launcher sends before SIGTERM when others have
        taken their place: then requests under way, such as long uploads, may take their time. There are no files.
        """
        self.cfg.set("graceful_timeout", handover.REPLACED_S)


limit_request_line = 8190
limit_request_fields = 64


def on_starting(server: object) -> None:
    """Runs once, in the master: empties the folder of metrics, so that they begin anew, unless the launcher has done
    that.
    """
    follow_parent()
    if not _launched:
        metrics_folder.empty(_metrics)
    _metrics.mkdir(parents=True, exist_ok=True)


def on_exit(server: object) -> None:
    """Once, in the master."""
    if not _launched:
        metrics_folder.remove(_metrics)


def child_exit(server: object, worker: Any) -> None:
    """Runs in the master: the gauges of a dead process no longer count."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
