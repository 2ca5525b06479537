"""Typed clients for Sentiq: `from webapp.client import Sentiq`, or `AsyncSentiq` for asyncio and trio. They import
nothing of the service's code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from webapp.client.calls import Calls
from webapp.client.connections import Awaiting, Blocking, blocking, iterating
from webapp.client.http import Transport
from webapp.client.streams import AsyncStream, Stream
from webapp.client.types import SentiqError

DEFAULT_URL = "http://127.0.0.1:8000"


class AsyncSentiq(Calls):
    """As `Sentiq`, with the same methods, to be awaited, and to be iterated with `async for`; any number of tasks of
    one event loop may share it.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        on_retry: Callable[[SentiqError, float], None] | None = None,
    ) -> None:
        """See `Sentiq`."""
        super().__init__(
            Transport(url, api_key, timeout_s=timeout_s, patience_s=patience_s, on_retry=on_retry, connect=Awaiting)
        )

    def stream(self, name: str) -> AsyncStream:
        """A stream of this name, which may be there or not."""
        return AsyncStream(self._transport, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Sentiq:
    """A client of one service; any number of threads may share it.

    A request is tried again, for `patience_s`, when the service is busy or the connection breaks. If the service has
    never answered yet, its address is taken to be wrong, and the error is raised at once.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        on_retry: Callable[[SentiqError, float], None] | None = None,
    ) -> None:
        """Makes the client; no connection is opened yet.

        Args:
            url: the service's address; it may have a path, which goes before the paths of the API.
            api_key: the key that is sent with every request.
            timeout_s: how long the service may be silent within a request.
            patience_s: how long requests to an absent or busy service are tried again.
            on_retry: called for each failure that is followed by another try, with the error and the seconds until
                then.

        Raises:
            ValueError: `url` is not an address.
        """
        self._transport = Transport(
            url, api_key, timeout_s=timeout_s, patience_s=patience_s, on_retry=on_retry, connect=Blocking
        )
        self._calls = Calls(self._transport)
        self.url = self._calls.url
        """The service's address, without user and password."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    close = blocking(Calls.close)
    predict = blocking(Calls.predict)
    predict_frame = blocking(Calls.predict_frame)
    submit = blocking(Calls.submit)
    job = blocking(Calls.job)
    jobs = iterating(Calls.jobs)
    cancel = blocking(Calls.cancel)
    remove = blocking(Calls.remove)
    queue = blocking(Calls.queue)
    purge_queue = blocking(Calls.purge_queue)
    wait = blocking(Calls.wait)
    results = iterating(Calls.results)
    download = blocking(Calls.download)
    report = blocking(Calls.report)
    sample = blocking(Calls.sample)
    labels = blocking(Calls.labels)
    label = blocking(Calls.label)
    streams = blocking(Calls.streams)

    def stream(self, name: str) -> Stream:
        """A stream of this name, which may be there or not."""
        return Stream(AsyncStream(self._transport, name))
