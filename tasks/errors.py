"""What can go wrong between the web and the worker.

    SentimentError
    ├── InvalidText
    │   ├── EmptyText           nothing is left of it after cleaning
    │   └── TextTooLong         more than MAX_TEXT_CHARS
    ├── TooManyTexts            more than MAX_BATCH_TEXTS in one job
    ├── TextFailed              the engine cannot score this one text
    ├── CallbackRefused         callback_url is not an address that we post to
    ├── JobNotFound             unknown or expired
    ├── UploadTooSlow           the texts stopped coming in
    ├── JobCancelled            cancelled while its texts still came in
    ├── IdempotencyMismatch     an Idempotency-Key that came with another body before
    ├── IdempotencyInProgress   an Idempotency-Key whose first request is not done yet
    ├── Unauthorized            no API key, or an unknown one
    ├── Forbidden               not for this key, or not for a page of another site
    ├── RateLimited             more texts than RATE_LIMIT; says when to come back
    ├── QuotaExceeded           more texts than DAILY_QUOTA; says when to come back
    ├── QueueFull               as many texts wait as QUEUE_LIMIT allows; says when to come back
    └── ServiceUnavailable      Redis is away
    SettingsRefused             the environment holds a value that cannot be used; ends the start

They know no HTTP: `webapp.front.errors` has the one table that gives each its status. `code` is stable, part of the
API.
"""

from __future__ import annotations

from typing import ClassVar

EX_CONFIG = 78
"""The exit status (sysexits.h) by which a process says that starting it again will not help."""


class SentimentError(Exception):
    """Base of every error that a caller may be told of. `str(error)` is meant for the caller and holds no text of
    theirs.
    """

    code: ClassVar[str] = "error"


class InvalidText(SentimentError):
    """A text that cannot be scored because of what it is."""

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


class TooManyTexts(SentimentError):
    """A job holds more texts than MAX_BATCH_TEXTS allows."""

    code = "too_many_texts"

    def __init__(self, limit: int, line: int | None = None) -> None:
        super().__init__(f"A job holds at most {limit} texts.")
        self.line = line


class CallbackRefused(SentimentError):
    """An address that is not to be posted to; the message says why, without the address."""

    code = "callback_refused"


class TextFailed(SentimentError):
    """The engine failed on this one text, alone; trying again would fail again."""

    code = "text_failed"

    def __init__(self) -> None:
        super().__init__("The model could not score this text.")


class JobNotFound(SentimentError):
    """No job has this id: it never existed, or it has expired."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("No job has this id. Jobs expire.")


class JobCancelled(SentimentError):
    """Somebody cancelled the job while its texts still came in."""

    code = "job_cancelled"

    def __init__(self) -> None:
        super().__init__("The job was cancelled while its texts still came in.")


class UploadTooSlow(SentimentError):
    """No text of an upload came for too long, and what had come is gone."""

    code = "upload_too_slow"

    def __init__(self) -> None:
        super().__init__("The texts stopped coming in. Nothing was accepted.")


class IdempotencyMismatch(SentimentError):
    """The same Idempotency-Key came with another request before."""

    code = "idempotency_mismatch"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request.")


class IdempotencyInProgress(SentimentError):
    """The first request with this Idempotency-Key still comes in."""

    code = "idempotency_in_progress"

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is not done yet.")


class Unauthorized(SentimentError):
    """The request has no API key, or one that is not known; which of the two is not told."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("Send an API key that is valid here: `Authorization: Bearer KEY` or `X-API-Key: KEY`.")


class Forbidden(SentimentError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class RateLimited(SentimentError):
    """The caller sent more texts than RATE_LIMIT allows."""

    code = "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many texts in a short time.")
        self.retry_after_s = retry_after_s


class QuotaExceeded(SentimentError):
    """The caller sent more texts than DAILY_QUOTA allows."""

    code = "quota_exceeded"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("The day's texts are used up; a day ends at midnight, UTC.")
        self.retry_after_s = retry_after_s


class QueueFull(SentimentError):
    """Raised at submission when more texts wait than QUEUE_LIMIT allows."""

    code = "queue_full"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many texts are waiting.")
        self.retry_after_s = retry_after_s


class ServiceUnavailable(SentimentError):
    """Redis does not answer: nothing can be looked up, queued or stored."""

    code = "service_unavailable"

    def __init__(self) -> None:
        super().__init__("The service cannot reach its store. Nothing was accepted; try again.")


class SettingsRefused(Exception):
    """A setting's value cannot be used; the message names the variable and says what is accepted."""
