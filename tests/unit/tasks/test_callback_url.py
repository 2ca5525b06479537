"""Which callback URLs are accepted, judged by the URL alone."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import CallbackRefused
from tasks.jobs.callback_url import Target, check_url, is_public

GOOD = [
    ("http://example.com", Target(False, "example.com", 80, "/")),
    ("https://example.com:8443/a?b=c#d", Target(True, "example.com", 8443, "/a?b=c")),
    ("HTTP://EXAMPLE.COM./", Target(False, "example.com", 80, "/")),
    ("https://8.8.8.8", Target(True, "8.8.8.8", 443, "/")),
    ("http://[2606:4700::1111]:80/", Target(False, "2606:4700::1111", 80, "/")),
]


@pytest.mark.parametrize(("url", "target"), GOOD)
def test_public_url(url: str, target: Target) -> None:
    """Names and public addresses are accepted; a fragment is not sent."""
    assert check_url(url, allow_private=False) == target


MALFORMED = """
example.com ftp://example.com/ file:///etc/passwd http:// http:///path http://. http://[::1 http://a..b/ http://%6cocalhost/
http://[v1.a,b]/ http://u@example.com/ http://u:p@example.com/ http://@example.com/ http://example.com\\@10.0.0.1/ http://a,b/
http://example.com:port/ http://example.com:0/ http://example.com:65536/ http://8.8.8.８/ http://example。com/
"""
BLANKS = [
    "",
    "http://example.com/a b",
    "http://example.com/\r\nX: y",
    "http://example.com/\x00",
    " http://example.com",
    "http://example.com\n",
]
LONG = ["http://example.com/" + "a" * 1982, f"http://{'a' * 64}.com/"]


@pytest.mark.parametrize("url", [*MALFORMED.split(), *BLANKS, *LONG])
def test_malformed_url(url: str) -> None:
    """Anything but a plain http(s) URL is refused, even where private addresses are allowed, and not quoted."""
    with pytest.raises(CallbackRefused) as refused:
        check_url(url, allow_private=True)
    assert refused.value.code == "callback_refused"
    assert not url or url not in str(refused.value)


NOT_PUBLIC = """
localhost LocalHost. a.localhost 127.0.0.1. 127.1 0x7f000001 0x7f.1 017700000001 2130706433 0 10.1
169.254.169.254 100.64.0.1 192.168.1.1 172.16.0.1 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255
[::] [::1] [::127.0.0.1] [fe80::1] [fe80::1%25eth0] [fec0::1] [fd00::1] [ff0e::1] [100::1] [2001:db8::1] [3fff::1]
[::ffff:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b:1::1] [2002:808:808::] [2001:0:808:808::]
192.88.99.1 192.88.99.2 [::ffff:192.88.99.1] [64:ff9b::192.88.99.1] 0.0.0.1 192.0.0.9 192.31.196.1 192.52.193.1
192.175.48.1 198.51.100.1 203.0.113.1 198.19.255.255 239.255.255.255 255.255.255.254 [100:0:0:1::1] [2001:1::1]
[2001:1::3] [2001:2::1] [2001:3::1] [2001:4:112::1] [2001:10::1] [2001:20::1] [2001:30::1] [2620:4f:8000::1]
[5f00::1] [fc00::1] [::ffff:0:1]
"""


@pytest.mark.parametrize("host", NOT_PUBLIC.split())
def test_not_public(host: str) -> None:
    """An address that is not public is refused in every spelling, unless private ones are allowed."""
    with pytest.raises(CallbackRefused, match="not a public address"):
        check_url(f"http://{host}/", allow_private=False)
    check_url(f"http://{host}/", allow_private=True)


SPELLINGS: list[Callable[[int], str]] = [
    lambda a: str(IPv4Address(a)),
    str,
    hex,
    lambda a: f"0{a:o}",
    lambda a: f"{a >> 24}.{a & 0xFFFFFF}",
    lambda a: f"{a >> 24:#x}.0{a >> 16 & 255:o}.{a & 0xFFFF}",
    lambda a: f"[::ffff:{IPv4Address(a)}]",
    lambda a: f"[::FFFF:{a >> 16:x}:{a & 0xFFFF:x}]",
    lambda a: f"[64:ff9b::{IPv4Address(a)}]",
]


@given(st.ip_addresses(v=4), st.sampled_from(SPELLINGS))
def test_spelling_changes_nothing(address: IPv4Address, spell: Callable[[int], str]) -> None:
    """In any spelling, an IPv4 address is accepted if it is public and refused if not."""
    url = f"https://{spell(int(address))}/"
    if is_public(str(address)):
        check_url(url, allow_private=False)
    else:
        with pytest.raises(CallbackRefused):
            check_url(url, allow_private=False)


@given(st.ip_addresses())
def test_no_more_than_python_says(address: IPv4Address | IPv6Address) -> None:
    """What Python knows not to be global is not public; NAT64 stands for an IPv4 address."""
    if not address.is_global and address not in IPv6Network("64:ff9b::/96"):
        assert not is_public(str(address))


@given(st.ip_addresses(v=4))
def test_embedded_addresses(address: IPv4Address) -> None:
    """An IPv6 address that is an IPv4 address (mapped, NAT64) is as public as that; one that leads to it by a tunnel
    (6to4, Teredo) never is.
    """
    high, low = int(address) >> 16, int(address) & 0xFFFF
    public = is_public(str(address))
    assert is_public(f"::ffff:{address}") is is_public(f"64:ff9b::{address}") is public
    assert not is_public(f"2002:{high:x}:{low:x}::1")
    assert not is_public(f"2001:0:{high:x}:{low:x}::1")
    assert not is_public(f"2001:0:808:808:0:0:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}")
