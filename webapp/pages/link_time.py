"""How much of a web process whoever looks by a link may take: links have no key, so no limit of a key holds for them.

A view that is drawn already costs next to nothing. What costs is to draw one, for the first time or anew, and files,
which are drawn for each request. So it is the time of these drawings that is counted. Those of one link are made one at
a time. With no time left, views that were drawn before stay as they are, until it has come back or somebody else's look
draws them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from tasks.errors import TooManyViews

MOST_S = 5.0
"""Seconds of drawing that a link may take at once; with the views of a usual stream, a hundred or two of them."""
_SHARE = 0.2
"""Of the time, that it may take for as long as it likes."""
_MOST_LINKS = 1000


@dataclass(slots=True)
class _Account:
    left_s: float
    at_s: float
    lock: Lock = field(default_factory=Lock)


class LinkTime:
    """The time that links have left in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: tells seconds."""
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def spent(self, link: str) -> Iterator[None]:
        """A context in which something is drawn for whoever looks by a link.

        Raises:
            TooManyViews: so much was drawn for the link that others have their turn.
        """
        account = self._accounts.get(link)
        if account is None:
            self._make_room()
            account = self._accounts.setdefault(link, _Account(MOST_S, self._clock()))
        with account.lock:
            began_s = self._clock()
            account.left_s = self._left_s(account, began_s)
            account.at_s = began_s
            if account.left_s <= 0:
                raise TooManyViews(int(MOST_S), math.ceil(-account.left_s / _SHARE) or 1)
            try:
                yield
            finally:
                account.left_s -= self._clock() - began_s

    @staticmethod
    def _left_s(account: _Account, now_s: float) -> float:
        return min(MOST_S, account.left_s + (now_s - account.at_s) * _SHARE)

    def _make_room(self) -> None:
        """Forgets links that have all of their time again, and if there are too many, the one that has most."""
        now_s, accounts = self._clock(), self._accounts
        idle = {link: self._left_s(one, now_s) for link, one in accounts.items() if not one.lock.locked()}
        for link in [link for link, left_s in idle.items() if left_s >= MOST_S]:
            del accounts[link], idle[link]
        if len(accounts) >= _MOST_LINKS and idle:
            del accounts[max(idle, key=idle.__getitem__)]
