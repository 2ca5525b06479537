"""`AsyncSentiq` with the face of `Sentiq`, so that tests of the one are tests of the other."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Self, cast

from webapp.client import AsyncSentiq, Sentiq


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine on the loop, to its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def iterate(self, items: AsyncGenerator[Any, None]) -> Iterator[Any]:
        """Yields what an asynchronous generator yields on the loop."""
        end = object()

        async def following() -> Any:
            return await anext(items, end)

        try:
            while (item := self.run(following())) is not end:
                yield item
        finally:
            self.run(items.aclose())

    def stop(self) -> None:
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Awaited:
    """An object whose coroutines are awaited, and whose asynchronous generators are iterated, on a loop."""

    def __init__(self, calls: Any, loop: Loop) -> None:
        self._calls, self._loop = calls, loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._calls, name)
        if inspect.iscoroutinefunction(found):
            return lambda *arguments, **named: self._loop.run(found(*arguments, **named))
        if inspect.isasyncgenfunction(found):
            return lambda *arguments, **named: self._loop.iterate(found(*arguments, **named))
        if inspect.ismethod(found):
            return lambda *arguments, **named: Awaited(found(*arguments, **named), self._loop)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._calls.close())


def awaited(loop: Loop) -> Callable[..., Sentiq]:
    """What makes clients, as `Sentiq` does, of which each is an `AsyncSentiq` on the loop."""
    return lambda *arguments, **named: cast(Sentiq, Awaited(AsyncSentiq(*arguments, **named), loop))
