"""How files begin that the sandbox reads. No text begins so."""

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
CFB = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Of `.xls`, and of any spreadsheet with a password."""
PARQUET = b"PAR1"
_ALL = (*ZIP, CFB, PARQUET)


def is_packed(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a zip file, a spreadsheet or Parquet."""
    return start.startswith(_ALL)


def may_be_packed(start: bytes) -> bool:
    """Whether more bytes are needed to tell."""
    return any(len(start) < len(signature) and signature.startswith(start) for signature in _ALL)
