"""Labels that people give texts of a job: what one can ask for, as coroutines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote as quoted

from webapp.client.bodies import labels_body
from webapp.client.http import UPLOAD_S, Transport, json_object, query
from webapp.client.shares import Labels, Rows, SampledText, rows
from webapp.client.types import Job, Label, understood


class LabelCalls:
    """The part of `webapp.client.calls.Calls` that labels texts of jobs."""

    def __init__(self, transport: Transport) -> None:
        self._send = transport.send

    async def sample(
        self,
        job: Job | str,
        count: int | None = None,
        *,
        by: str | None = None,
        segment: str | None = None,
        value: str | None = None,
    ) -> Rows[SampledText]:
        """Random texts of an ended job that have no label yet, to be labelled by a person; the job's report is then
        corrected by the labels (docs/reports.md).

        Args:
            job: the job.
            count: how many at most.
            by: who will label them. The same person is given no text twice.
            segment: the column by which texts are told apart, as the report is to have it.
            value: only texts with this in that column; by default texts of all, in proportion.
        """
        params = query(limit=count, by=by, segment=segment, value=value)
        answer = json_object(await self._send("GET", f"{job_path(job)}/sample", params, silent_s=UPLOAD_S))
        with understood:
            return rows(SampledText, answer["items"])

    async def labels(self, job: Job | str, *, segment: str | None = None) -> Labels:
        """What a job has of labels. `segment`: as in `sample`."""
        return Labels.of(
            json_object(await self._send("GET", f"{job_path(job)}/labels", query(segment=segment), silent_s=UPLOAD_S))
        )

    async def label(
        self,
        job: Job | str,
        labels: Mapping[str, Label | Literal["cannot tell"]],
        *,
        by: str | None = None,
        segment: str | None = None,
    ) -> Labels:
        """Gives texts of a job's sample a person's labels, and returns what the job then has of them.

        Args:
            job: the job.
            labels: the label of each text, by the text's id.
            by: who labelled them. A second person's label of the same text shows how far the two agree.
            segment: as in `sample`.
        """
        body = labels_body(labels, by)
        answer = await self._send(
            "POST", f"{job_path(job)}/labels", query(segment=segment), body=body, silent_s=UPLOAD_S
        )
        return Labels.of(json_object(answer))


def job_path(job: Job | str) -> str:
    """The path of a job."""
    return f"/jobs/{quoted(job.id if isinstance(job, Job) else job, safe='')}"
