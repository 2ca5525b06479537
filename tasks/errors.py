"""The errors of the service.

    SentimentError
    ├── InvalidText
    │   ├── EmptyText           nothing is left of the text after cleaning
    │   └── TextTooLong         more characters than MAX_TEXT_CHARS
    ├── TooManyTexts            more texts than MAX_BATCH_TEXTS in one job
    ├── TextFailed              the engine cannot score this one text
    ├── CallbackRefused         callback_url is not an address to which callbacks may go
    ├── JobNotFound             unknown or expired
    ├── StorageFull             Redis has no room left, in memory or on its disk, for what the request needs
    ├── UploadTooSlow           the texts stopped coming in
    ├── JobCancelled            cancelled while its texts were still coming in
    ├── IdempotencyMismatch     an Idempotency-Key that was used for another request
    ├── IdempotencyInProgress   an Idempotency-Key whose first request has not finished yet
    ├── Unauthorized            no API key, or an unknown one
    ├── Forbidden               not for this key, or not for a page of another site
    ├── RateLimited             more texts than RATE_LIMIT; says when to try again
    ├── QuotaExceeded           more texts than DAILY_QUOTA; says when to try again
    ├── QueueFull               as many texts wait as QUEUE_LIMIT allows; says when to try again
    └── ServiceUnavailable      Redis is away
    SettingsRefused             a setting has a value that cannot be used; ends the start

They know nothing of HTTP: one table in `webapp.front.errors` gives each its status. `code` is stable, as part of the
API.
"""

from __future__ import annotations

from typing import ClassVar

EX_CONFIG = 78
"""The exit status (sysexits.h) by which a process says that starting it again will not help."""


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


class JobNotFound(SentimentError):
    """No job has this id: it never existed or has expired."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("There is no job with this id. It may have expired.")


class StorageFull(SentimentError):
    """Redis has no room left, in its memory or on its disk: what needs room is refused, everything else goes on."""

    code = "storage_full"

    def __init__(self) -> None:
        super().__init__("The service has no room left. Texts that it knows are answered; try again later.")


class JobCancelled(SentimentError):
    """The job was cancelled while its texts were still coming in."""

    code = "job_cancelled"

    def __init__(self) -> None:
        super().__init__("The job was cancelled while its texts were still coming in.")


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


class Unauthorized(SentimentError):
    """The request has no API key or an unknown one; the error does not say which."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("Send a valid API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`.")


class Forbidden(SentimentError):
    """The caller is known but may not do this."""

    code = "forbidden"


class RateLimited(SentimentError):
    """The caller sent more texts than RATE_LIMIT allows."""

    code = "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("You have sent too many texts in a short time.")
        self.retry_after_s = retry_after_s


class QuotaExceeded(SentimentError):
    """The caller sent more texts than DAILY_QUOTA allows."""

    code = "quota_exceeded"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("The texts allowed for this day are used up. The next day begins at midnight UTC.")
        self.retry_after_s = retry_after_s


class QueueFull(SentimentError):
    """As many texts wait as QUEUE_LIMIT allows, or as can be answered in time; nothing was accepted."""

    code = "queue_full"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many texts are waiting. Try again later.")
        self.retry_after_s = retry_after_s


class ServiceUnavailable(SentimentError):
    """Redis does not answer: nothing can be looked up, queued or stored."""

    code = "service_unavailable"

    def __init__(self) -> None:
        super().__init__("The service cannot reach Redis. Nothing was accepted; try again.")


class SettingsRefused(Exception):
    """A setting's value cannot be used; the message names the variable and says what is accepted."""
