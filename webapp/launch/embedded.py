"""Starts the embedded server, before everything that needs it."""

from __future__ import annotations

import redis

from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.settings import Settings
from tasks.store.embedded import MEMORY_SHARE, ServerNotFound, memory_limit, wait_until_up
from webapp.launch.processes import Console, Server, StartFailed


def start_embedded(server: Server, settings: Settings, console: Console) -> None:
    """Starts the server and waits until it answers.

    Raises:
        StartFailed: it cannot be started.
    """
    console.print("sentiq", "waiting for: the embedded server")
    try:
        server.start()
    except (ServerNotFound, SettingsRefused) as error:
        raise StartFailed(str(error), EX_CONFIG) from None
    try:
        # A generous limit: the server first reads its append-only file, which may be large.
        wait_until_up(settings.cache_url, timeout_s=120, process=server.process)
    except redis.RedisError:
        raise StartFailed(
            f"The embedded server did not start on {settings.data_dir}; its lines above say why."
        ) from None
    gigabytes = memory_limit() / 1e9
    console.print(
        "sentiq",
        f"the embedded server may use {gigabytes:.1f} GB of memory, {MEMORY_SHARE:.0%} of what there is;"
        " from three quarters of that on, jobs are refused",
    )
