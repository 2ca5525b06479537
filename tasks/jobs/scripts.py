"""The changes of a job, each a script of `lua/`."""

from __future__ import annotations

import time
from typing import Any

from tasks.jobs.keys import CALLBACKS, ENDS, UNFINISHED, job_keys
from tasks.store.client import Client, Pipeline
from tasks.store.scripts import load_script


class JobScript:
    """One of them; all are given the keys and the two arguments that `lua/job.lua` names, then their own."""

    def __init__(self, client: Client, name: str) -> None:
        self._script = load_script(client, "tasks.jobs", name)

    def __call__(self, job_id: str, *args: str | int | float | bytes, client: Pipeline | None = None) -> Any:
        """Runs it; with a pipeline as `client`, when that is executed."""
        keys = [*job_keys(job_id), UNFINISHED, ENDS, CALLBACKS]
        return self._script(keys=keys, args=[job_id, time.time(), *args], client=client)
