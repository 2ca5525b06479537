"""The errors of the service.

    SentimentError
    ├── InvalidText
    │   ├── EmptyText           nothing is left of the text after cleaning
    │   ├── TextTooLong         more characters than MAX_TEXT_CHARS
    │   ├── TextBeyondModel     longer than the model reads at once, where LONG_TEXTS refuses such texts
    │   ├── NotMentioned        does not name the target
    │   ├── TooManySentences    more sentences than get answers of their own
    │   └── TooLongToExplain    longer than texts whose words are weighed
    ├── TooManyTexts            more texts than MAX_BATCH_TEXTS in one job
    ├── TextFailed              the engine cannot score this one text
    ├── UnknownModel            the request names a model that MODELS does not have
    ├── ModelNotServed          no worker is ready with the model that the request names
    ├── CallbackRefused         callback_url is not an address to which callbacks may go
    ├── JobNotFound             unknown or expired
    ├── JobNotEnded             a job that is to be removed while it runs
    ├── JobTooLarge             a job that alone is more than STORAGE_QUOTA or DAILY_QUOTA
    ├── StorageFull             Redis has no room left, in memory or on its disk, for what the request needs
    ├── StreamNotFound          the caller has no stream of this name
    ├── TooManyLabelledJobs     texts of so many jobs are kept to be labelled
    ├── TooManyStreams          as many streams of one key as MAX_STREAMS allows
    ├── NoStreams               the service has another analysis than sentiment
    ├── ResultsNotKept          the job only brought texts into a stream
    ├── UploadTooSlow           the texts stopped coming in
    ├── TooManyFiles            as many spreadsheets and zip files are being read as one process reads at once
    ├── JobCancelled            cancelled while its texts were still coming in
    ├── IdempotencyMismatch     an Idempotency-Key that was used for another request
    ├── IdempotencyInProgress   an Idempotency-Key whose first request has not finished yet
    ├── SegmentNotFound         a stream has no texts of this segment
    ├── TextsNotKept            a stream without `keep_sample` has no texts to label
    ├── TooManyLabels           a stream has as many labels as one may have
    ├── Unauthorized            no API key, or an unknown one
    ├── Forbidden               not for this key, or not for a page of another site
    ├── HostNotAllowed          called by a name that is not in ALLOWED_HOSTS
    ├── LimitReached            a limit allows no more now; says when to try again
    │   ├── RateLimited         more texts than RATE_LIMIT
    │   ├── QuotaExceeded       more texts than DAILY_QUOTA
    │   ├── QueueFull           as many texts wait as QUEUE_LIMIT allows
    │   ├── TooManyJobs         as many unfinished jobs as MAX_JOBS allows
    │   ├── StorageQuotaExceeded  a caller's jobs, or a key's streams, keep as many bytes as STORAGE_QUOTA allows
    │   └── TooManyViews        by one link so many views were asked for that others have their turn
    └── ServiceUnavailable      Redis is away
    SettingsRefused             a setting has a value that cannot be used; ends the start

They know nothing of HTTP: one table in `webapp.front.errors` gives each its status. `code` is stable, as part of the
API.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar, NoReturn, Self

EX_CONFIG = 78
"""The exit status (sysexits.h) by which a process says that starting it again will not help."""
CANNOT_START = "Sentiq cannot start: "
"""How the sentence begins with which such a process ends; the launcher looks for it."""
_WINDOWS = {1: "a second", 60: "a minute", 3600: "an hour"}
_WINDOWS = {1: "a second", 60: "a minute", 3600: "an hour"}


def refuse_to_start(why: Exception) -> NoReturn:
    """Ends the process with the status for settings and one line on stderr that says why."""
    print(f"{CANNOT_START}{' '.join(str(why).split())}", file=sys.stderr, flush=True)
    sys.exit(EX_CONFIG)


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count} texts"


class SentimentError(Exception):
    """Base class of the errors that callers see. `str(error)` is meant for the caller and never quotes their texts."""

    code: ClassVar[str] = "error"


class InvalidText(SentimentError):
    """The text itself cannot be scored."""

    code = "invalid_text"


class EmptyText(InvalidText):
    """Nothing is left of the text after cleaning."""

    code = "empty_text"

    def __init__(self) -> None:
        super().__init__("The text is empty or blank.")


class TextTooLong(InvalidText):
    """The text has more characters than MAX_TEXT_CHARS allows."""

    code = "text_too_long"

    def __init__(self, chars: int, limit: int) -> None:
        super().__init__(f"The text has {chars} characters; at most {limit} are accepted.")


class TextBeyondModel(InvalidText):
    """The text is longer than the model reads at once, and LONG_TEXTS=refuse."""

    code = "text_beyond_model"

    def __init__(self) -> None:
        super().__init__("The text is longer than the model reads at once, and this service divides none.")


class NotMentioned(InvalidText):
    """The text does not name the target. Callers get it as an answer without a label."""

    code = "not_mentioned"  # as in `model.warnings`, which clients need not have

    def __init__(self) -> None:
        super().__init__("The text does not name the target.")


class TooManySentences(InvalidText):
    """The text has more sentences than get answers of their own."""

    code = "too_many_sentences"

    def __init__(self, sentences: int, limit: int) -> None:
        super().__init__(f"The text has {sentences} sentences; at most {limit} get answers of their own.")


class TooLongToExplain(InvalidText):
    """The text is longer than those whose words are weighed."""

    code = "too_long_to_explain"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Only texts of at most {limit} bytes are explained.")


class TooManyTexts(SentimentError):
    """A job has more texts than MAX_BATCH_TEXTS allows."""

    code = "too_many_texts"

    def __init__(self, limit: int, line: int | None = None) -> None:
        super().__init__(f"A job holds at most {limit} texts.")
        self.line = line


class CallbackRefused(SentimentError):
    """An address to which callbacks may not go; the message says why, without the address."""

    code = "callback_refused"


class TextFailed(SentimentError):
    """The engine failed on this one text even when it was scored alone; trying again would fail again."""

    code = "text_failed"

    def __init__(self) -> None:
        super().__init__("The model could not score this text.")


class UnknownModel(SentimentError):
    """The request names a model that the service does not have; the message lists those that it has."""

    code = "unknown_model"

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: those of all models; `*` is the default one's."""
        others = [f"`{name}`" for name in names if name != "*"]
        had = f"this service has {', '.join(others)}" if others else "this service has one model, without a name"
        super().__init__(f"No model has this name; {had}. To use the service's default model, leave `model` out.")


class ModelNotServed(SentimentError):
    """No worker is ready with the model that the request names, so nothing was accepted."""

    code = "model_not_served"

    def __init__(self, name: str, compiling: str = "") -> None:
        """`compiling`: how far its workers are with compiling it, if they are."""
        why = f", as it is still being compiled ({compiling})" if compiling else ""
        super().__init__(f"No worker is ready with the model `{name}`{why}. Nothing was accepted; try again later.")


class JobNotFound(SentimentError):
    """No job has this id: it never existed or has expired."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("There is no job with this id. It may have expired.")


class JobNotEnded(SentimentError):
    """The job has to end, or be cancelled, before it can be removed."""

    code = "job_not_ended"

    def __init__(self) -> None:
        super().__init__("The job has not ended. Cancel it first, or wait for its end.")


class LimitReached(SentimentError):
    """A limit allows no more at the moment; each limit has an error of its own."""

    code = "limit_reached"

    def __init__(self, detail: str, *, limit: int, left: int, retry_after_s: int) -> None:
        """`limit`: what is allowed, and `left`: what is left of it, both in what it limits: texts, jobs, bytes, tries,
        seconds; `retry_after_s`: when there may be more.
        """
        super().__init__(detail)
        self.limit, self.left, self.retry_after_s = limit, left, retry_after_s


class TooManyJobs(LimitReached):
    """The caller has as many unfinished jobs as MAX_JOBS allows."""

    code = "too_many_jobs"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You have {limit} jobs that have not ended, which is the most."
            " Wait for one to end, or cancel one (DELETE /jobs/ID).",
            limit=limit,
            left=0,
            retry_after_s=10,  # jobs end in their own time; nobody knows when the next one will
        )


class JobTooLarge(SentimentError):
    """The job alone would keep more bytes than STORAGE_QUOTA allows, or has more texts than DAILY_QUOTA: it can never
    be accepted.
    """

    code = "job_too_large"

    @classmethod
    def to_be_kept(cls, quota_bytes: int) -> Self:
        """For a job beyond STORAGE_QUOTA."""
        return cls(
            f"This job would keep more than the {quota_bytes} bytes that all your jobs together may keep."
            " Send its texts in several jobs, and remove each one when you have its results."
        )

    @classmethod
    def for_a_day(cls, quota: int) -> Self:
        """For a job beyond DAILY_QUOTA."""
        return cls(f"This job has more texts than the {quota} that you may send in a day. Send them on several days.")


class StorageQuotaExceeded(LimitReached):
    """The caller's jobs, or its streams, keep as many bytes as STORAGE_QUOTA allows."""

    code = "storage_quota_exceeded"

    @classmethod
    def by_jobs(cls, kept_bytes: int, quota_bytes: int, retry_after_s: int) -> Self:
        """`retry_after_s`: when the first of the jobs expires."""
        return cls(
            f"Your jobs keep {kept_bytes} of the {quota_bytes} bytes that they may keep, which leaves too little for"
            " this one. Remove jobs that have ended (DELETE /jobs/ID?purge=1), or wait until they expire.",
            limit=quota_bytes,
            left=max(0, quota_bytes - kept_bytes),
            retry_after_s=retry_after_s,
        )

    @classmethod
    def by_streams(cls, kept_bytes: int, quota_bytes: int) -> Self:
        """For further texts of a stream."""
        return cls(
            f"Your streams keep {kept_bytes} of the {quota_bytes} bytes that they may keep. Delete one that you no"
            " longer need (DELETE /streams/{name}), make one without `keep_sample`, or one with a shorter `ttl`.",
            limit=quota_bytes,
            left=max(0, quota_bytes - kept_bytes),
            retry_after_s=3600,
        )


class StorageFull(SentimentError):
    """The memory of Redis is full, or nearly, or its disk: what needs room is refused, everything else goes on."""

    code = "storage_full"

    def __init__(self) -> None:
        super().__init__("The service has no room left. Texts that it knows are answered; try again later.")


class TooManyFiles(SentimentError):
    """Spreadsheets, zip files and Parquet take memory to read, so few are read at once."""

    code = "too_many_files"

    def __init__(self) -> None:
        super().__init__("The service reads other spreadsheets or zip files at this moment; try again later.")


class JobCancelled(SentimentError):
    """The job was cancelled while its texts were still coming in."""

    code = "job_cancelled"

    def __init__(self) -> None:
        super().__init__("The job was cancelled while its texts were still coming in.")


class StreamNotFound(SentimentError):
    """The caller has no stream of this name."""

    code = "stream_not_found"

    def __init__(self) -> None:
        super().__init__("You have no stream of this name. PUT /streams/{name} makes one.")


class TooManyStreams(SentimentError):
    """A key has as many streams as MAX_STREAMS allows."""

    code = "too_many_streams"

    def __init__(self, limit: int) -> None:
        super().__init__(f"You have {limit} streams, and may have no more. Delete one that you no longer need.")


class NoStreams(SentimentError):
    """The service has another analysis than sentiment."""

    code = "no_streams"

    def __init__(self) -> None:
        super().__init__("This service has no streams: they are for the analysis `sentiment`, and it has another one.")


class ResultsNotKept(SentimentError):
    """The job only brought texts into a stream."""

    code = "results_not_kept"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The texts of this job were for the stream `{name}`, which keeps counts of them; their results are not"
            " kept. See /streams/{name}/series."
        )


class UploadTooSlow(SentimentError):
    """No text of an upload came for too long, and what had come in was discarded."""

    code = "upload_too_slow"

    def __init__(self) -> None:
        super().__init__("No text of the upload came for too long. Nothing was accepted.")


class IdempotencyMismatch(SentimentError):
    """The same Idempotency-Key was used for another request before."""

    code = "idempotency_mismatch"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request.")


class IdempotencyInProgress(SentimentError):
    """The first request with this Idempotency-Key is still coming in."""

    code = "idempotency_in_progress"

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key has not finished yet.")


def _shown(name: str) -> str:
    printed = "".join(sign if sign.isprintable() else "\ufffd" for sign in name[:60])
    return printed if len(name) <= 60 else f"{printed}\u2026"


class SegmentNotFound(SentimentError):
    """A stream, or a job, has no texts of a segment, or too few of it to be labelled by itself."""

    code = "segment_not_found"

    def __init__(self, asked: str, nearest: str | None = None, *, whose: str = "stream") -> None:
        """`asked`: the segment; `nearest`: the one that is most like it; `whose`: of what it was asked."""
        where = f"in the segment `{_shown(asked)}`" if asked else "without a segment"
        meant = f" Do you mean `{_shown(nearest)}`?" if nearest else ""
        super().__init__(f"No text of this {whose} is {where}.{meant}")


class TextsNotKept(SentimentError):
    """A stream keeps no texts, so there are none to label."""

    code = "texts_not_kept"

    def __init__(self) -> None:
        super().__init__(
            "This stream keeps no texts, so there are none to label. Set `keep_sample` to true with"
            " PUT /streams/{name}; from then on a random sample of its texts is kept until they expire. Or send texts"
            " with their labels, in a column `gold`."
        )


class TooManyLabels(SentimentError):
    """A stream, or a job, has as many labels as one may have."""

    code = "too_many_labels"

    def __init__(self, most: int) -> None:
        super().__init__(f"There may be at most {most} labels, with those of texts that were given out for them.")


class TooManyLabelledJobs(SentimentError):
    """As many of a caller's jobs have texts to label as MAX_STREAMS allows."""

    code = "too_many_labelled_jobs"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Texts of {most} of your jobs are kept to be labelled, which is the most. Remove one of these jobs"
            " (DELETE /jobs/ID?purge=1), or wait until one expires."
        )


class TooManyLinks(SentimentError):
    """A stream has as many read-only links as one may have."""

    code = "too_many_links"

    def __init__(self, most: int) -> None:
        super().__init__(f"A stream may have at most {most} links. Take one back first.")


class LinkNotFound(SentimentError):
    """There is no such link, or it has expired or was taken back; the error does not say which."""

    code = "link_not_found"

    def __init__(self) -> None:
        super().__init__("This link has expired, or it was taken back. Ask whoever gave it to you for another one.")


class TooManyViews(LimitReached):
    """By one link so many different views of a stream were asked for that others have their turn."""

    code = "too_many_views"

    def __init__(self, limit_s: int, retry_after_s: int) -> None:
        """`limit_s`: the seconds of drawing that a link may take at once."""
        super().__init__(
            f"Too many different views were asked for by this link: none of the {limit_s} s is left that drawing them"
            f" may take at once. Try again in {retry_after_s} s.",
            limit=limit_s,
            left=0,
            retry_after_s=retry_after_s,
        )


class Unauthorized(SentimentError):
    """The request has no API key or an unknown one; the error does not say which."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("Send a valid API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`.")


class Forbidden(SentimentError):
    """The caller is known but may not do this."""

    code = "forbidden"


class HostNotAllowed(SentimentError):
    """The service was called by a host name that it was not told."""

    code = "host_not_allowed"

    def __init__(self) -> None:
        super().__init__(
            "Without API keys this service is called by its address, by localhost, or by a host name in ALLOWED_HOSTS."
        )


class RateLimited(LimitReached):
    """The caller sent more texts than RATE_LIMIT allows."""

    code = "rate_limited"

    def __init__(self, texts: int, *, left: int, limit: int, window_s: int, retry_after_s: int) -> None:
        """See `QuotaExceeded`; `window_s` is the time for which the limit holds, in seconds."""
        window = _WINDOWS.get(window_s, f"{window_s} s")
        more = f" {left} of them are left, and this request has {texts}." if left < texts else ""
        super().__init__(
            f"You may send {_texts(limit)} in {window}.{more if left > 0 else ' None of them is left.'}"
            f" Try again in {retry_after_s} s.",
            limit=limit,
            left=left,
            retry_after_s=retry_after_s,
        )


class QuotaExceeded(LimitReached):
    """The caller sent more texts than DAILY_QUOTA allows, or more than are left of it."""

    code = "quota_exceeded"

    def __init__(
        self, texts: int | str, *, left: int, limit: int, window_s: int, retry_after_s: int, of: str = "request"
    ) -> None:
        """Says that a request (or a job: `of`) with so many `texts`, or `more than` so many, does not fit into what is
        `left` of the `limit` in this window; the next begins in `retry_after_s`.
        """
        today = (
            f"You have used up the {_texts(limit)} that you may send in a day."
            if left <= 0
            else f"This {of} has {texts} texts; of today's {limit}, {left} {'is' if left == 1 else 'are'} left."
        )
        super().__init__(
            f"{today} The next day begins at midnight UTC.", limit=limit, left=left, retry_after_s=retry_after_s
        )


class QueueFull(LimitReached):
    """As many texts wait as QUEUE_LIMIT allows, or as can be answered in time; nothing was accepted."""

    code = "queue_full"

    def __init__(self, limit: int, retry_after_s: int) -> None:
        """`limit`: how many texts may wait in this web process, before another one of this caller's."""
        super().__init__(
            f"Too many texts are waiting: {_texts(limit)} may wait here at once, and no place is left."
            f" Try again in {retry_after_s} s.",
            limit=limit,
            left=0,
            retry_after_s=retry_after_s,
        )


class ServiceUnavailable(SentimentError):
    """Redis does not answer: nothing can be looked up, queued or stored."""

    code = "service_unavailable"

    def __init__(self) -> None:
        super().__init__("The service cannot reach Redis. Nothing was accepted; try again.")


class SettingsRefused(Exception):
    """A setting's value cannot be used; the message names the variable and says what is accepted."""
