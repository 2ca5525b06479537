"""`webapp.server.patches.same_answers`."""

from __future__ import annotations

import email.utils
import ipaddress
import time
from collections import Counter
from typing import Any

import pytest

from tests.support.patches import mended
from webapp.server.patches import same_answers

PROXIES = ["127.0.0.1", "10.0.0.0/8"]
NETWORKS = [ipaddress.ip_network(proxy) for proxy in PROXIES]


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a date was formatted and an address read, from now on."""
    count: Counter[str] = Counter()

    def counting(name: str, original: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            count[name] += 1
            return original(*args, **named)

        return call

    monkeypatch.setattr(email.utils, "formatdate", counting("date", email.utils.formatdate))
    monkeypatch.setattr(ipaddress, "ip_address", counting("address", ipaddress.ip_address))
    monkeypatch.setattr(same_answers, "_trusted", {})
    same_answers._of_second.cache_clear()
    return count


def test_library_works_out_anew(worked_out: Counter[str]) -> None:
    """Without the patch, Gunicorn formats the date and reads the peer's address for each request."""
    for _ in range(5):
        same_answers.original_date(1_774_958_400.5)
        same_answers.original_check("127.0.0.1", PROXIES, NETWORKS)
    if worked_out != {"date": 5, "address": 5}:
        mended("Gunicorn", "webapp/server/patches/same_answers.py (webapp/server/worker.py no longer installs it)")


def test_once_a_second(worked_out: Counter[str]) -> None:
    """With the patch, the date is formatted once a second, and an address is read once; the answers are the same."""
    for instant in (1_774_958_400.0, 1_774_958_400.9, 1_774_958_401.0):
        assert same_answers.http_date(instant) == same_answers.original_date(instant)
    assert worked_out["date"] == 3 + 2
    assert abs(email.utils.parsedate_to_datetime(same_answers.http_date()).timestamp() - time.time()) < 60
    for ip, trusted in {"127.0.0.1": True, "10.1.2.3": True, "192.0.2.1": False, "no address": False}.items():
        for _ in range(3):
            assert same_answers.ip_in_allow_list(ip, PROXIES, NETWORKS) is trusted
    assert worked_out["address"] == 4
    assert same_answers.ip_in_allow_list("192.0.2.1", ["*"], [])


def test_no_more_than_so_many_peers(worked_out: Counter[str]) -> None:
    """However many peers come, no more than so many are remembered."""
    for number in range(2 * same_answers.MOST_PEERS):
        same_answers.ip_in_allow_list(f"10.0.{number // 256}.{number % 256}", PROXIES, NETWORKS)
    assert len(same_answers._trusted) <= same_answers.MOST_PEERS
