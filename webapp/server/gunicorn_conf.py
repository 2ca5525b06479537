"""Gunicorn's configuration: `gunicorn -c python:webapp.server.gunicorn_conf webapp.wsgi:app`, with the same settings as
everything else.
"""

import os
import shutil
import sys
from typing import Any

from gunicorn.glogging import Logger

from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.logs import configure_logs
from tasks.parent import follow_parent
from tasks.settings import load_settings
from tasks.tracing import require_tracing
from webapp.server.exposure import refuse_open_door

try:
    _settings = load_settings()
    refuse_open_door(_settings)
    require_tracing(_settings)
except SettingsRefused as error:
    print(f"Sentiq cannot start: {error}", file=sys.stderr, flush=True)
    sys.exit(EX_CONFIG)
_metrics_dir = os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str((_settings.data_dir / "metrics").absolute()))

bind = [f"{_settings.host}:{_settings.port}"]
if _settings.web_metrics_port:
    bind.append(f"{_settings.metrics_host}:{_settings.web_metrics_port}")
workers = _settings.web_concurrency
# Callers wait without holding a thread: with 64 callers blocked, cache hits kept a p99 of 14 ms (gthread with 16
# threads: 2.5 s).
worker_class = "webapp.server.worker.Worker"
worker_connections = 2000
timeout = 60
graceful_timeout = 15
keepalive = _settings.keep_alive
# Below which path a proxy serves it, is a setting (URL_PREFIX): a header or a variable could be anybody's.
forwarder_headers = ""
os.environ.pop("SCRIPT_NAME", None)
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
    """Once, in the master: metrics begin anew, in a folder that must be empty; unless the launcher has seen to it
    already.
    """
    follow_parent()
    if "SENTIQ_PARENT" not in os.environ:
        shutil.rmtree(_metrics_dir, ignore_errors=True)
    os.makedirs(_metrics_dir, exist_ok=True)


def child_exit(server: object, worker: Any) -> None:
    """In the master: a dead process's gauges no longer count."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
