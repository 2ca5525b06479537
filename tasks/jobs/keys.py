"""The names of a job's keys and chunks; `tasks.jobs` says what they hold."""

from __future__ import annotations

INDEX = "sentiq:jobs"
UNFINISHED = "sentiq:unfinished"
ENDS = "sentiq:ends"
CALLBACKS = "sentiq:callbacks"
ENDED = "sentiq:ended"
"""The channel on which the ids of jobs are published when they end."""
PARTS = ("", "in", "todo", "late", "done", "sent")


def job_key(job_id: str, part: str = "") -> str:
    """A job's key, or that of a part of it."""
    return f"sentiq:j:{job_id}:{part}" if part else f"sentiq:j:{job_id}"


def job_keys(job_id: str) -> list[str]:
    """The keys of all its parts."""
    return [job_key(job_id, part) for part in PARTS]


def index_key(owner: str | None) -> str:
    """Of an owner's jobs by the time of their creation; None is everybody's."""
    return INDEX if owner is None else f"{INDEX}:{owner}"


def chunk_id(job_id: str, number: int) -> str:
    """The Celery task id of a job's chunk: running it twice writes the same result to the same place."""
    return f"{job_id}.{number}"


def chunk_of(task_id: str) -> tuple[str, int]:
    """The job and the number that `chunk_id` made the id of."""
    job_id, _, number = task_id.rpartition(".")
    return job_id, int(number)
