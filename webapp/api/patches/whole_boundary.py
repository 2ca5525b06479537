"""Reads forms however their bytes arrive.

A piece that ends within a form's last boundary (`--b-` of `--b--`) makes werkzeug 3.1.9's `MultipartDecoder` take the
`\\r` before it for contents. Here the decoder waits for the rest.
"""

from __future__ import annotations

from werkzeug.sansio import multipart


class Decoder(multipart.MultipartDecoder):
    """As werkzeug's."""

    def __init__(self, boundary: bytes, *, max_parts: int) -> None:
        super().__init__(boundary, max_parts=max_parts)
        self._cut = b"--" + boundary + b"-"

    def next_event(self) -> multipart.Event:
        """See `MultipartDecoder.next_event`."""
        if self.buffer.endswith(self._cut) and not self.complete:
            return multipart.NEED_DATA
        return super().next_event()
