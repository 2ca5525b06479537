"""The names of a job's keys in Redis and of its chunks; `tasks.jobs` says what the keys hold."""

from __future__ import annotations

from tasks.models import Model

INDEX = "sentiq:jobs"
UNFINISHED = "sentiq:unfinished"
ENDS = "sentiq:ends"
CALLBACKS = "sentiq:callbacks"
ENDED = "sentiq:ended"
"""The channel on which the ids of jobs are published when they end."""
PARTS = ("", "in", "todo", "late", "done", "sent")
LABEL_PARTS = ("drawn", "labels", "offers", "offered")


def job_key(job_id: str, part: str = "") -> str:
    """The key of a job, or of one of its `PARTS` or `LABEL_PARTS`."""
    return f"sentiq:j:{job_id}:{part}" if part else f"sentiq:j:{job_id}"


def job_keys(job_id: str) -> list[str]:
    """The keys of all parts of a job."""
    return [job_key(job_id, part) for part in PARTS]


def label_keys(job_id: str) -> list[str]:
    """The keys of what people say of a job's texts; see `tasks.streams.job_labels`."""
    return [job_key(job_id, part) for part in LABEL_PARTS]


def index_key(owner: str | None) -> str:
    """The key of an owner's jobs by the time of their creation; of all jobs if `owner` is None."""
    return INDEX if owner is None else f"{INDEX}:{owner}"


def turn_keys(model: Model) -> list[str]:
    """The keys by which a model's chunks take turns, in the order that `lua/turns.lua` names."""
    turns = f"sentiq:turns{model.suffix}"
    return [turns, *(f"{turns}:{part}" for part in ("since", "sent", "clock", "live", "shares", "quick", "small"))]


def turn_prefixes(model: Model) -> tuple[str, ...]:
    """The beginnings of the keys of the chunks that wait, to which a caller's name is added: those of jobs, those with
    texts for streams, and the small ones of these.
    """
    return f"sentiq:turn{model.suffix}:", f"sentiq:turnlive{model.suffix}:", f"sentiq:turnsmall{model.suffix}:"


def chunk_id(job_id: str, number: int) -> str:
    """The Celery task id of a job's chunk. It is always the same, so running a chunk twice writes to the same place."""
    return f"{job_id}.{number}"


def chunk_of(task_id: str) -> tuple[str, int]:
    """The job's id and the chunk's number in a task id: the reverse of `chunk_id`."""
    job_id, _, number = task_id.rpartition(".")
    return job_id, int(number)
