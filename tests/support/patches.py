"""The message of the patches' tests when a patch is no longer needed."""

from __future__ import annotations

import pytest


def mended(library: str, *delete: str) -> None:
    """Fails the test, as the library no longer needs the patch."""
    pytest.fail(f"{library} is mended. Delete " + ", ".join(delete) + ", and this file.", pytrace=False)
