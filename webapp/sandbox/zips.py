"""Zip files: what they are, and the one file that they hold."""

from __future__ import annotations

import zlib
from pathlib import PurePosixPath
from typing import IO
from zipfile import BadZipFile, ZipFile, ZipInfo

from webapp.reading.names import cropped, listed
from webapp.reading.refusals import UploadRefused
from webapp.sandbox.messages import Teller

_MAX_MEMBERS = 10_000
_PIECE_BYTES = 64 * 1024
_SHEETS = ("xl/workbook.xml", "xl/workbook.bin")
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
_ENCRYPTED = 0x1
_DOCUMENTS = ("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF", "Index/Document.iwa")
"""Files in zip files that are documents: of Word, OpenDocument, Java, Pages and Numbers."""

_NAME = 255
"""The most characters of a file's name that are told."""
_ENDING = 16
"""Of which so many may be its ending."""


def opened(file: IO[bytes], max_bytes: int) -> ZipFile:
    """The zip file, if all that it holds is small enough. Nothing is unpacked for that.

    Raises:
        UploadRefused: it is not, or it is damaged.
    """
    try:
        archive = ZipFile(file)
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        raise _damaged() from None
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if len(members) > _MAX_MEMBERS or size > max_bytes:
        detail = (
            f"Unpacked, the file would have {size} bytes in {len(members)} parts; it may have {max_bytes} bytes in"
            f" {_MAX_MEMBERS} parts."
        )
        raise UploadRefused(413, "request_entity_too_large", detail)
    return archive


def is_spreadsheet(archive: ZipFile) -> bool:
    """Whether the zip file is a spreadsheet of Excel or OpenDocument."""
    names = set(archive.namelist())
    if any(name in names for name in _SHEETS):
        return True
    try:
        with archive.open("mimetype") as file:
            return file.read(len(_ODS)) == _ODS
    except (KeyError, BadZipFile, zlib.error, RuntimeError, NotImplementedError):
        return False


def tell_file(archive: ZipFile, tell: Teller) -> None:
    """Tells the one file that the zip file holds.

    Raises:
        UploadRefused: it holds none, several, an encrypted one, or one that is damaged.
    """
    member = _only(archive)
    tell.head(file=_told(PurePosixPath(member.filename)))
    try:
        with archive.open(member) as file:
            while piece := file.read(_PIECE_BYTES):
                tell.piece(piece)
    except (BadZipFile, zlib.error, EOFError, OSError):
        raise _damaged() from None
    except NotImplementedError:
        detail = "The zip file is compressed in a way that is not read; compress it with Deflate."
        raise UploadRefused(422, "unreadable_file", detail) from None


def _told(path: PurePosixPath) -> str:
    """The name of the file. Its ending stays, as it says what kind of file it is."""
    ending = cropped(path.suffix, _ENDING)
    return cropped(path.stem, _NAME - len(ending)) + ending


def _only(archive: ZipFile) -> ZipInfo:
    if any(name in _DOCUMENTS for name in archive.namelist()):
        raise UploadRefused(
            415, "unsupported_media_type", "The file is a document, but no spreadsheet of Excel or ODS."
        )
    members = [member for member in archive.infolist() if not member.is_dir() and not _is_litter(member.filename)]
    if len(members) != 1:
        names = f" ({listed([member.filename for member in members])})" if members else ""
        detail = (
            f"This is a zip file that holds {len(members)} files{names}; it must hold one. Send the files one by one."
        )
        raise UploadRefused(422, "unreadable_file", detail)
    if members[0].flag_bits & _ENCRYPTED:
        raise UploadRefused(422, "unreadable_file", "The zip file is protected by a password.")
    return members[0]


def _is_litter(name: str) -> bool:
    """Whether a file of this name is one that systems put into zip files unasked."""
    parts = PurePosixPath(name).parts
    last = parts[-1].lower() if parts else ""
    return "__MACOSX" in parts or last in ("thumbs.db", "desktop.ini") or last.startswith(".")


def _damaged() -> UploadRefused:
    return UploadRefused(422, "unreadable_file", "The zip file is damaged, or cut off.")
