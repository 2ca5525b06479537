"""Two webs behind nginx and HAProxy, with the files of `deploy/proxy`: one is replaced after the other, as in an
update, and callers of all kinds notice nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.everybody import Everybody
from tests.support.proxies import Proxy, Webs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
KINDS = [pytest.param(kind, marks=pytest.mark.debian(kind)) for kind in ("nginx", "haproxy")]


@pytest.fixture(scope="module")
def webs() -> Iterator[Webs]:
    """Two webs without keys."""
    both = Webs()
    yield both
    both.close()


@pytest.mark.parametrize("kind", KINDS)
def test_one_after_the_other(webs: Webs, kind: str, tmp_path: Path) -> None:
    """While each web in turn is ended and another one started in its place, no caller is refused or gets a 5xx, and no
    line and no end of a job is lost.
    """
    proxy = Proxy(kind, tmp_path, webs.ports)
    everybody = Everybody(proxy.base, verify=proxy.tls)
    try:
        for place, port in enumerate(webs.ports):
            everybody.go_on()
            webs.processes[place].terminate()
            everybody.go_on()
            webs.processes[place] = webs.start(port)
            wait_until(partial(_is_asked, port), what="the proxy to ask the new web", timeout_s=60)
        everybody.stop()
        assert (everybody.failures, everybody.wrong) == ({}, [])
        assert (everybody.lost(), everybody.unheard) == (0, 0)
        assert everybody.jobs > 0
    finally:
        everybody.stop()
        proxy.close()


def _is_asked(port: int) -> bool:
    """Whether somebody has a connection to this port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(row[1].rpartition(":")[2], 16) == port and row[3] == "01" for row in rows)
