"""Reads forms correctly wherever the pieces of their bytes end.

If a piece ends within a form's last boundary (`--b-` of `--b--`), werkzeug 3.1.9's `MultipartDecoder` takes the `\\r`
before it for contents. This decoder waits for the rest.
"""

from __future__ import annotations

from werkzeug.sansio import multipart


class Decoder(multipart.MultipartDecoder):
    """Werkzeug's decoder with this mended."""

    def __init__(self, boundary: bytes, *, max_parts: int) -> None:
        super().__init__(boundary, max_parts=max_parts)
        self._cut = b"--" + boundary + b"-"

    def next_event(self) -> multipart.Event:
        """See `MultipartDecoder.next_event`."""
        if self.buffer.endswith(self._cut) and not self.complete:
            return multipart.NEED_DATA
        return super().next_event()
