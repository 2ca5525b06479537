"""Calls the scripts of `lua/`, each of which is one change of a job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tasks.jobs.keys import CALLBACKS, ENDS, INDEX, UNFINISHED, job_keys
from tasks.store.client import Client, Pipeline
from tasks.store.scripts import load_script


class JobScript:
    """One script. It gets the keys and the two arguments that `lua/job.lua` names, then arguments of its own."""

    def __init__(self, client: Client, name: str) -> None:
        self._script = load_script(client, "tasks.jobs", name)

    def __call__(
        self,
        job_id: str,
        *args: str | int | float | bytes,
        own_keys: Sequence[str] = (),
        client: Pipeline | None = None,
    ) -> Any:
        """Runs the script; if `client` is a pipeline, as part of that pipeline. `own_keys`: keys of its own."""
        keys = [*job_keys(job_id), UNFINISHED, ENDS, CALLBACKS, INDEX, *own_keys]
        return self._script(keys=keys, args=[job_id, time.time(), *args], client=client)
