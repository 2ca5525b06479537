"""A job's progress as server-sent events. A listener occupies a greenlet, not a thread, so it costs little."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import orjson

from tasks.errors import JobNotFound, ServiceUnavailable
from tasks.jobs.job import TERMINAL, Job
from tasks.submit.jobs import JobService
from webapp.server.stopping import stopping

_HEARTBEAT_S = 15.0
"""Proxies close connections that were silent for a minute or so."""
_LOOK_S = 1.0


def events(jobs: JobService, job_id: str, revision: int, body: Callable[[Job], dict[str, object]]) -> Iterator[bytes]:
    """Yields `progress` for each change after this revision, and `end` when the job has ended. Each event holds the
    whole job, so missing one does no harm.
    """
    yield b"retry: 1000\n\n"
    said_at = time.monotonic()
    while not stopping.is_set():
        try:
            job = jobs.changed(job_id, revision, _LOOK_S)
        except ServiceUnavailable:
            time.sleep(_LOOK_S)
            continue
        except JobNotFound:
            return
        if job is not None:
            revision, ended = job.revision, job.status in TERMINAL
            name = "end" if ended else "progress"
            yield f"event: {name}\nid: {revision}\ndata: ".encode() + orjson.dumps(body(job)) + b"\n\n"
            if ended:
                return
            said_at = time.monotonic()
        elif time.monotonic() - said_at > _HEARTBEAT_S:
            said_at = time.monotonic()
            yield b": still here\n\n"
