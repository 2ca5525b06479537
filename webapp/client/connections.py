"""What a client sends its requests through: httpx's blocking client or its asynchronous one, behind one face.

The client's methods are written once, as coroutines. Over `Blocking` they never wait for an event loop, as each call
blocks until it is done; `now` and `one_by_one` run such a coroutine, or such an asynchronous generator, without a loop.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import anyio
import anyio.to_thread
import httpx

from webapp.client.bodies import Body, Meter

P = ParamSpec("P")
T = TypeVar("T")


class Connection(Protocol):
    """Both faces. `http` is configured by the client's transport."""

    def request(self, method: str, path: str, body: Body | None, **options: Any) -> httpx.Request:
        """Builds a request."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Sends it; the answer's body is left to be read."""

    async def read(self, response: httpx.Response) -> None:
        """Reads the whole body of an answer."""

    def parts(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Yields the body of an answer as it comes, and closes the answer."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    async def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Calls what may block, such as the reading of a file."""

    async def close(self) -> None:
        """Closes all connections."""


class Blocking:
    """httpx's blocking client."""

    def __init__(self, **options: Any) -> None:
        self._http = httpx.Client(**options)

    def request(self, method: str, path: str, body: Body | None, **options: Any) -> httpx.Request:
        """See `Connection`."""
        return self._http.build_request(method, path, content=None if body is None else self._content(body), **options)

    def _content(self, body: Body) -> Iterator[bytes]:
        meter = Meter(body.on_bytes)
        for part in body.parts():
            yield part
            meter.add(part)
        meter.end()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See `Connection`."""
        return self._http.send(request, stream=True)

    async def read(self, response: httpx.Response) -> None:
        """See `Connection`."""
        response.read()

    async def parts(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """See `Connection`."""
        try:
            for part in response.iter_bytes():
                yield part
        finally:
            response.close()

    async def sleep(self, seconds: float) -> None:
        """See `Connection`."""
        time.sleep(seconds)

    async def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """See `Connection`."""
        return function(*arguments, **named)

    async def close(self) -> None:
        """See `Connection`."""
        self._http.close()


class Awaiting:
    """httpx's asynchronous client, on asyncio or trio. Files are read and written in threads."""

    def __init__(self, **options: Any) -> None:
        self._http = httpx.AsyncClient(**options)

    def request(self, method: str, path: str, body: Body | None, **options: Any) -> httpx.Request:
        """See `Connection`."""
        return self._http.build_request(method, path, content=None if body is None else self._content(body), **options)

    async def _content(self, body: Body) -> AsyncIterator[bytes]:
        meter, parts = Meter(body.on_bytes), body.parts()
        # A caller's own iterable may be bound to their thread, as a database's cursor is.
        while part := await self.call(next, parts, b"") if body.file else next(parts, b""):
            yield part
            meter.add(part)
        meter.end()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See `Connection`."""
        return await self._http.send(request, stream=True)

    async def read(self, response: httpx.Response) -> None:
        """See `Connection`."""
        await response.aread()

    async def parts(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """See `Connection`."""
        try:
            async for part in response.aiter_bytes():
                yield part
        finally:
            await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """See `Connection`."""
        await anyio.sleep(seconds)

    async def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """See `Connection`."""
        return await anyio.to_thread.run_sync(lambda: function(*arguments, **named))

    async def close(self) -> None:
        """See `Connection`."""
        await self._http.aclose()


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over a `Blocking` connection."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("A blocking client waited for an event loop.")


def one_by_one(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an asynchronous generator over a `Blocking` connection. It is closed when this one is."""
    assert isinstance(items, AsyncGenerator)
    try:
        while True:
            try:
                item = now(items.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        now(items.aclose())


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """The blocking twin of a method, for a class that has the object with the method in `_calls`."""

    @wraps(method)
    def twin(self: Any, /, *arguments: P.args, **named: P.kwargs) -> T:
        return now(method(self._calls, *arguments, **named))

    return twin


def iterating(method: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """As `blocking`, for an asynchronous generator."""

    @wraps(method)
    def twin(self: Any, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        return one_by_one(method(self._calls, *arguments, **named))

    signature = inspect.signature(method)
    returned = signature.return_annotation.removeprefix("Async")
    twin.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    return twin
