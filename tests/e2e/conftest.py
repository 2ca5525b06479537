"""Fixtures for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.browser import Browser, browsing


@pytest.fixture(scope="module")
def _browser() -> Iterator[Browser | None]:
    if shutil.which("chromium") is None:  # the mark `debian` skips the tests, or fails them
        yield None
        return
    with browsing() as browser:
        yield browser


@pytest.fixture
def browser(_browser: Browser | None) -> Iterator[Browser]:
    """Chromium; the test's pages are closed after it, and none may have written an error or left this host. The test
    has the mark `debian("chromium")`.
    """
    assert _browser is not None
    yield _browser
    _browser.close_pages()
