"""The service of jobs in a web process: submit, look at, list, cancel and remove jobs."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import redis

from model.analysis import Analysis
from model.sentences import sentences
from tasks import metrics
from tasks.cost import Count
from tasks.errors import CallbackRefused, IdempotencyInProgress, IdempotencyMismatch, JobNotFound, UploadTooSlow
from tasks.jobs.callback_url import check_url
from tasks.jobs.incoming import IncomingJobs
from tasks.jobs.job import TERMINAL, Job, JobStatus, Line
from tasks.jobs.kept import KeptJobs, Place
from tasks.jobs.keys import chunk_id
from tasks.store.cache import PredictionCache
from tasks.submit.asked import Asked
from tasks.submit.away import redis_or_unavailable
from tasks.submit.ends import JobEnds
from tasks.submit.idempotency import IdempotencyKeys
from tasks.submit.intake import Fingerprint, Intake, Submission
from tasks.submit.served import ServedModel, ServedModels
from tasks.submit.stream_intake import StreamIntake
from tasks.tracing import NOBODY, Origin
from tasks.wire import KeyUse

CHUNK_S = 1.0
"""Seconds that a chunk of a job should take to score.

It is a small part of the visibility timeout, and on a GPU the longest that a live caller waits for a job's chunk."""
MOST_CHUNK_TEXTS = 16_384
"""The most texts of a chunk: a text's number, of at most 31 bits, is chunk x chunk size + place in the chunk."""
WINDOW = 4
"""Chunks of one job that are under way or wait for their turn; two for each worker if that is more, so that one job can
keep all of them busy."""
_LOOK_S = 0.5
"""Seconds between two looks at a job that a caller waits for, in case the notification of its end is lost."""

_log = logging.getLogger(__name__)


class JobService:
    """Submits jobs and reads them; a web process has one. Every method raises ServiceUnavailable when Redis is away."""

    def __init__(
        self,
        incoming: IncomingJobs,
        kept: KeptJobs,
        cache: PredictionCache,
        keys: IdempotencyKeys,
        models: ServedModels,
        cleaned: Callable[[str], str],
        ends: JobEnds,
        *,
        cost: Count,
        charge: Count,
        analysis: Analysis,
        max_texts: int,
        callbacks: Callable[[str | None], bool],
        allow_private: bool,
        origin: Callable[[], Origin] = lambda: NOBODY,
    ) -> None:
        """Makes the service of its parts.

        Args:
            incoming: stores jobs that come in.
            kept: reads and cancels jobs.
            cache: texts are looked up there.
            keys: the Idempotency-Keys.
            models: the models that jobs may ask for.
            cleaned: see `tasks.submit.predictor.cleaner`.
            ends: notifies callers that wait for a job.
            cost: what a text costs to score.
            charge: as how many texts one counts against its caller's quota.
            analysis: the analysis of the jobs' texts.
            max_texts: the most texts of a job.
            callbacks: whether the service sends any for the jobs of an API key, given by name.
            allow_private: see `tasks.jobs.callback_url.check_url`.
            origin: the request that asks, for traces.
        """
        self._incoming = incoming
        self._kept = kept
        self._cache = cache
        self._keys = keys
        self._models = models
        self._cleaned = cleaned
        self._ends = ends
        self._cost = cost
        self._charge = charge
        self._analysis = analysis
        self._max_texts = max_texts
        self._callbacks = callbacks
        self._allow_private = allow_private
        self._origin = origin

    def require_model(self, name: str | None) -> None:
        """Checks that jobs may ask for a model by this name.

        Raises:
            UnknownModel: there is no such model.
        """
        self._models.choose(name)

    def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Takes texts in; returns their job, and whether it is an earlier one of the same Idempotency-Key.

        The first chunks are sent while the rest is still coming in. A text that cannot be scored is an error of its
        line.

        Raises:
            TooManyTexts: more than MAX_BATCH_TEXTS.
            TooManyJobs, StorageQuotaExceeded, JobTooLarge, StorageFull: there is no room for the job.
            CallbackRefused: callbacks may not go to `callback_url`.
            UnknownModel, ModelNotServed: the model that is asked for does not exist, or has no worker.
            IdempotencyMismatch, IdempotencyInProgress: see `tasks.errors`.
        """
        served = self._models.choose(submission.model)
        if submission.callback_url is not None:
            if not self._callbacks(submission.owner):
                raise CallbackRefused("This service sends no callbacks for you: it has no secret to sign them with.")
            check_url(submission.callback_url, allow_private=self._allow_private)
        job_id = uuid.uuid4().hex
        with redis_or_unavailable():
            if submission.own_key is not None and (use := self._keys.claim(submission.own_key, job_id)) is not None:
                return self._earlier(submission, use), True
            try:
                fingerprint = self._receive(job_id, submission, served)
            except BaseException as error:  # of any kind, even if the caller hangs up
                away = isinstance(error, redis.RedisError) and not isinstance(error, redis.exceptions.OutOfMemoryError)
                if not away:  # else the caller is told at once; what was stored expires by itself
                    self._discard(job_id, submission)
                raise
            if submission.own_key is not None:
                self._keys.settle(submission.own_key, job_id, fingerprint)
            metrics.JOBS.inc()
            try:
                return self._kept.get(job_id), False
            except JobNotFound:
                self._require_stream(submission)
                raise

    def _receive(self, job_id: str, submission: Submission, served: ServedModel) -> str:
        served.require_workers(submission.model)
        if submission.bill is not None:
            counted = submission.bill.counted(
                submission.entries, lambda numbered: self._charged(numbered[1].text, submission.asked)
            )
            submission = replace(submission, entries=counted)
        size = min(max(1, int(served.known.texts_per_s("batch") * CHUNK_S)), MOST_CHUNK_TEXTS)
        window = max(WINDOW, 2 * served.known.workers("batch"))
        self._incoming.begin(
            job_id,
            chunk_size=size,
            window=window,
            name=submission.name,
            callback_url=submission.callback_url,
            header=submission.header,
            owner=submission.owner,
            caller=submission.caller,
            origin=self._origin(),
            analysis=self._analysis,
            requested_model=submission.model,
            stream=(into.stream.uid, into.stream.name) if (into := submission.into) is not None else None,
            keeps=into is not None and into.keeps,
            **asdict(submission.asked),
        )

        def send(chunks: Sequence[int]) -> None:
            for turn in served.turns.choose(chunk_id(job_id, number) for number in chunks):
                served.turns.send(turn)

        def alive() -> None:
            self._incoming.touch(job_id)
            if submission.own_key is not None:
                self._keys.touch(submission.own_key)

        intake = (Intake if submission.into is None else StreamIntake)(
            self._incoming,
            self._cache,
            job_id=job_id,
            identity=served.known.identity,
            chunk_size=size,
            max_texts=self._max_texts,
            cleaned=self._cleaned,
            asked=submission.asked,
            cost=self._cost,
            send=send,
            alive=alive,
        )
        try:
            fingerprint = intake.receive(submission)
            header, source = submission.found()
            held_back = self._incoming.seal(job_id, header if header != submission.header else None, source)
        except UploadTooSlow:
            self._require_stream(submission)
            raise
        finally:
            metrics.LOOKUP_HIT.inc(intake.hits)
            metrics.LOOKUP_MISS.inc(intake.misses)
        if held_back:
            send(held_back)
        metrics.JOB_TEXTS.inc(intake.texts)
        return fingerprint

    def _require_stream(self, submission: Submission) -> None:
        """Raises StreamNotFound if texts are for a stream that is deleted: it takes the jobs with it that bring them."""
        if submission.into is not None:
            self._incoming.require_stream(submission.into.stream.uid)

    def _charged(self, text: str, asked: Asked) -> int:
        """As how many texts a line's text counts against its caller's quota."""
        return self._charge(text) + (len(sentences(text)) if asked.sentences else 0)

    def _discard(self, job_id: str, submission: Submission) -> None:
        """Keeps no job whose id nobody knows, and gives back what it has not used of the quota.

        If it is not known what was used, as the job has expired meanwhile, nothing is given back: its results could be
        read as long as it was there.
        """
        try:
            used = self._incoming.discard(job_id)
            if submission.own_key is not None:
                self._keys.release(submission.own_key)
        except redis.RedisError:
            _log.warning("Redis away: what an upload left behind expires by itself")
        else:
            if submission.bill is not None and used is not None:
                submission.bill.cancel(used)

    def _earlier(self, submission: Submission, use: KeyUse) -> Job:
        if use.fingerprint is None:
            raise IdempotencyInProgress
        again = Fingerprint(submission)
        for position, (_, entry) in enumerate(submission.entries):
            again.add(entry)
            if position % 100 == 0:
                time.sleep(0)
        if again.hex() != use.fingerprint:
            raise IdempotencyMismatch
        return self._kept.get(use.job)

    def get(self, job_id: str, wait_s: float = 0.0, *, owner: str | None = None) -> Job:
        """The job's present state; with `wait_s`, waits at most so many seconds for its end.

        Args:
            job_id: the job.
            wait_s: the longest time to wait, in seconds.
            owner: the owner that the job must have; None for any.

        Raises:
            JobNotFound: unknown, expired, or another owner's; nothing tells these cases apart.
        """
        with redis_or_unavailable():
            if wait_s <= 0:
                return self._own(self._kept.get(job_id), owner)
            until = time.monotonic() + wait_s
            with self._ends.watch(job_id) as ended:
                while True:
                    ended.clear()
                    job = self._own(self._kept.get(job_id), owner)
                    left_s = until - time.monotonic()
                    if job.status in TERMINAL or left_s <= 0:
                        return job
                    ended.wait(min(_LOOK_S, left_s))

    @staticmethod
    def _own(job: Job, owner: str | None) -> Job:
        if owner is not None and job.owner != owner:
            raise JobNotFound
        return job

    def changed(self, job_id: str, revision: int, wait_s: float) -> Job | None:
        """Waits until the job's revision is beyond this one; None if that does not happen within `wait_s` seconds.

        Raises:
            JobNotFound: unknown or expired.
        """
        until = time.monotonic() + wait_s
        while True:
            with redis_or_unavailable():
                if self._kept.revision(job_id) > revision:
                    return self._kept.get(job_id)
            left_s = until - time.monotonic()
            if left_s <= 0:
                return None
            time.sleep(min(0.25, left_s))

    def newest(
        self, before: Place | None, status: JobStatus | None, limit: int, owner: str | None = None
    ) -> tuple[list[Job], Place | None]:
        """See `KeptJobs.newest`."""
        with redis_or_unavailable():
            return self._kept.newest(before, status, limit, owner)

    def unfinished(self) -> Iterator[Job]:
        """See `KeptJobs.unfinished`."""
        with redis_or_unavailable():
            yield from self._kept.unfinished()

    def cancel(self, job_id: str) -> Job:
        """See `KeptJobs.cancel`."""
        with redis_or_unavailable():
            return self._kept.cancel(job_id)

    def remove(self, job_id: str) -> None:
        """See `KeptJobs.remove`."""
        with redis_or_unavailable():
            self._kept.remove(job_id)

    def lines(self, job: Job, start: int, count: int) -> Iterator[Line]:
        """See `KeptJobs.lines`."""
        with redis_or_unavailable():
            yield from self._kept.lines(job, start, count)
