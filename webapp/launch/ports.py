"""Two settings must not name the same port: whoever listens second fails, long after the start."""

from __future__ import annotations

from itertools import combinations

from tasks.errors import SettingsRefused
from tasks.settings import Settings
from webapp.launch.monitors import worker_ports

_EVERYWHERE = {"0.0.0.0", "::"}
_HIGHEST = 65535


def refuse_shared_ports(settings: Settings) -> None:
    """Refuses settings under which two processes would listen in the same place.

    Raises:
        SettingsRefused: two settings have the same port, or there is no port after METRICS_PORT.
    """
    places = [("PORT", "the API", settings.host, settings.port)]
    if settings.web_metrics_port:
        places.append(("WEB_METRICS_PORT", "the web's metrics", settings.metrics_host, settings.web_metrics_port))
    for worker, given in worker_ports(settings).items():
        port = int(given["METRICS_PORT"])
        if port > _HIGHEST:
            raise SettingsRefused("METRICS_PORT: the batch worker takes the port after it, and there is none")
        places.append(("METRICS_PORT", f"the {worker} worker's metrics", settings.metrics_host, port))
    for (_, one, host, port), (setting, other, other_host, other_port) in combinations(places, 2):
        if port == other_port and (host == other_host or {host, other_host} & _EVERYWHERE):
            raise SettingsRefused(f"{setting}: {one} and {other} cannot both listen on port {port}")
