"""Why a file, or a request's body, is refused."""

from __future__ import annotations

from dataclasses import dataclass

NOT_UTF8 = "The line is not UTF-8. If the file has another encoding, say which: ?encoding=NAME, such as cp1252."


class MalformedJson(Exception):
    """The body is not JSON."""


class InvalidEncoding(Exception):
    """The body is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a table before it was refused because nobody said which column has the texts."""

    names: tuple[str, ...]
    """The names of its columns; where it has no header, their numbers."""
    rows: tuple[tuple[str, ...], ...]
    """The first rows below."""


class UploadRefused(Exception):
    """The upload is refused; the message says why in one sentence, without the user's text."""

    def __init__(self, status: int, code: str, detail: str, line: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.line = line
        """The number, from 1, of the line where the record at fault begins."""
        self.seen: Seen | None = None
        """Not None if all that is missing is which column has the texts."""

    def also(self, more: str) -> UploadRefused:
        """The same refusal, which says more."""
        refused = UploadRefused(self.status, self.code, f"{self}{more}", self.line)
        refused.seen = self.seen
        return refused


def malformed(detail: str, line: int) -> UploadRefused:
    """The refusal of a line that does not follow its format."""
    return UploadRefused(422, "malformed_line", detail, line)


def too_long(max_line_bytes: int, line: int) -> UploadRefused:
    """The refusal of a line with too many bytes."""
    detail = f"A line, or a CSV row including the line breaks in its quotes, may have at most {max_line_bytes} bytes."
    return UploadRefused(413, "line_too_long", detail, line)


def invalid_option(detail: str) -> UploadRefused:
    """The refusal of an option whose value cannot be used, or that has no effect."""
    return UploadRefused(422, "invalid_field", detail)


def no_texts() -> UploadRefused:
    """The refusal of a file without texts."""
    return UploadRefused(422, "no_texts", "The upload has no texts.")
