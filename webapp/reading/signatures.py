"""How files begin that are no texts: those that the sandbox reads, and those that nothing here reads."""

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
CFB = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Of `.xls`, and of any spreadsheet with a password."""
PARQUET = b"PAR1"
_ALL = (*ZIP, CFB, PARQUET)

_GZIP = b"\x1f\x8b\x08"
_UNREAD = {
    _GZIP: "gzip",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"%PDF-": "PDF",
    b"{\\rtf": "RTF",
    b"SQLite format 3\x00": "SQLite",
}


_MARKUP = {
    b"<?xml": "XML",
    **dict.fromkeys((b"<!doctype html", b"<html", b"<head", b"<meta", b"<table"), "an HTML page"),
}
_LONGEST_BEGIN = 64


def markup(start: bytes) -> str | None:
    """What the file is, in words, if it is HTML or XML, which programs like to call `.xls`; empty if it is neither, and
    None if more bytes are needed to tell.
    """
    begin = start.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").replace(b"\0", b"").lower()
    if len(start) < _LONGEST_BEGIN and any(len(begin) < len(sign) and sign.startswith(begin) for sign in _MARKUP):
        return None
    return next((name for sign, name in _MARKUP.items() if begin.startswith(sign)), "")


def is_packed(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a zip file, a spreadsheet or Parquet."""
    return start.startswith(_ALL)


def may_be_packed(start: bytes) -> bool:
    """Whether more bytes are needed to tell."""
    return any(len(start) < len(signature) and signature.startswith(start) for signature in (*_ALL, *_UNREAD))


def unread(start: bytes) -> str:
    """What the file is, in words, if nothing here reads it; else nothing."""
    for signature, name in _UNREAD.items():
        if start.startswith(signature):
            if signature == _GZIP:
                return "gzip: send it as that (Content-Encoding: gzip, or a name that ends in .gz)"
            return f"{name}: send what is in it as text"
    return ""
