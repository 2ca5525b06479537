"""What the tests of patches say when a patch is no longer needed."""

from __future__ import annotations

import pytest


def mended(library: str, *delete: str) -> None:
    """Fails: the library does without the patch what the patch is for."""
    pytest.fail(f"{library} is mended. Delete " + ", ".join(delete) + ", and this file.", pytrace=False)
