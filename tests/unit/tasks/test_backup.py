"""A server's picture of itself as it comes over the wire: of a length, as from a file, or up to a mark."""

from __future__ import annotations

import io

import pytest

from tasks.store.backup import BackupFailed, copied

PICTURE = b"REDIS0011" + bytes(range(256)) * 5
MARK = b"ef527657fa29c83740d16e143d7ae633103b5054"


class Slow(io.RawIOBase):
    """Bytes that come a few at a time, then the end of the connection."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = io.BytesIO(data), piece

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next few."""
        return self._data.readinto(buffer[: self._piece])


@pytest.mark.parametrize("piece", [1, 7, 39, 41, 10_000])
@pytest.mark.parametrize(("header", "end"), [(b"$%d" % len(PICTURE), b""), (b"$EOF:" + MARK, MARK)])
def test_the_whole_picture(piece: int, header: bytes, end: bytes) -> None:
    """All of it is copied and nothing more, in whatever pieces it comes."""
    into = io.BytesIO()
    assert copied(io.BufferedReader(Slow(PICTURE + end, piece)), header, into) == len(PICTURE)  # type: ignore[arg-type]
    assert into.getvalue() == PICTURE


@pytest.mark.parametrize("header", [b"$%d" % len(PICTURE), b"$EOF:" + MARK])
@pytest.mark.parametrize("kept", [0, 5, len(PICTURE) - 1])
def test_half_a_picture(header: bytes, kept: int) -> None:
    """A connection that ends before is told, so that half a backup is none."""
    with pytest.raises(BackupFailed, match="ended before the backup was complete"):
        copied(io.BufferedReader(Slow(PICTURE[:kept], 100)), header, io.BytesIO())  # type: ignore[arg-type]
