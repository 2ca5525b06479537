"""`AsyncSentiq` and `Sentiq` are the same client: what only the one or the other can show. What both do is in
`test_client`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from contextlib import aclosing
from typing import Any

import pytest

from tests.unit.webapp.test_client import ENDED, JOB, PREDICTION, Answer, Scripted, problem
from webapp.client import AsyncSentiq, AsyncStream, Sentiq, Stream


def public(kind: type) -> dict[str, inspect.Signature | None]:
    """The public methods of a class with their signatures, as those of a blocking class; and those that open it."""
    opening = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    found: dict[str, inspect.Signature | None] = {}
    for name, value in inspect.getmembers(kind):
        if name in opening or name in opening.values():
            found[opening.get(name, name)] = None
        elif not name.startswith("_") or name == "__init__":
            signature = inspect.signature(value)
            returned = str(signature.return_annotation).removeprefix("Async")
            found[name] = signature.replace(return_annotation=returned)
    return found


def test_the_same_methods() -> None:
    """Both clients have the same public methods, with the same parameters, defaults, types and docstrings; those of the
    one are to be awaited, those of the other are not.
    """
    assert public(AsyncSentiq) == public(Sentiq)
    assert {"predict", "submit", "results", "close", "stream", "__enter__", "__init__"} <= public(Sentiq).keys()
    assert public(AsyncStream).keys() - {"__init__"} == public(Stream).keys() - {"__init__"}
    for awaited, blocking in ((AsyncSentiq, Sentiq), (AsyncStream, Stream)):
        for name in public(blocking).keys() - {"__init__", "__enter__", "__exit__", "stream"}:
            one, other = getattr(awaited, name), getattr(blocking, name)
            assert public(awaited)[name] == public(blocking)[name]
            assert one.__doc__ == other.__doc__
            assert one.__doc__
            assert inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
            assert not inspect.iscoroutinefunction(other)
            assert not inspect.isasyncgenfunction(other)


@pytest.fixture
def server() -> Any:
    """A scripted server."""
    scripted = Scripted(Sentiq)
    yield scripted
    scripted.stop()


def test_calls_wait_at_the_same_time(server: Scripted) -> None:
    """While one call waits for its answer, or between two tries, others are sent."""
    met = threading.Barrier(5, timeout=20)
    server.before_answer = lambda: met.wait()
    server.answers = [Answer(200, PREDICTION)]

    async def ask() -> list[str | None]:
        async with AsyncSentiq(server.url) as sentiq:
            found = await asyncio.gather(*(sentiq.predict("x") for _ in range(5)))
            return [prediction.label for prediction in found]

    assert asyncio.run(ask()) == ["POSITIVE"] * 5


def test_pauses_leave_the_loop_free(server: Scripted) -> None:
    """While a call pauses until its next try, the event loop goes on."""
    server.answers = [problem(503, "service_unavailable", headers={"Retry-After": "1"}), Answer(200, PREDICTION)]
    beats: list[float] = []

    async def ask() -> None:
        paused = asyncio.Event()
        async with AsyncSentiq(server.url, on_retry=lambda error, pause_s: paused.set()) as sentiq:
            asking = asyncio.create_task(sentiq.predict("x"))
            await paused.wait()
            while not asking.done():
                beats.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.05)
            await asking

    asyncio.run(ask())
    assert len(beats) > 10


def test_a_slow_file_leaves_the_loop_free(server: Scripted) -> None:
    """While a pipe is read whose bytes are long in coming, the event loop goes on: it is what writes them."""
    server.answers = [Answer(202, JOB)]
    reader, writer = os.pipe()

    async def send() -> None:
        async with AsyncSentiq(server.url) as sentiq:
            with os.fdopen(reader, "rb", buffering=0) as pipe:
                sending = asyncio.create_task(sentiq.submit(pipe, content_type="txt"))
                os.write(writer, b"a\n")
                assert await asyncio.to_thread(server.received.wait, 20)
                os.write(writer, b"b\n")
                os.close(writer)
                await sending

    asyncio.run(send())
    assert server.requests[0].body == b"a\nb\n"


def test_a_cancelled_call(server: Scripted) -> None:
    """A call whose task is cancelled ends, and the client can be used further."""
    server.answers = [Answer(200, PREDICTION, delay_s=0.3), Answer(200, JOB)]

    async def ask() -> str:
        async with AsyncSentiq(server.url) as sentiq:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sentiq.predict("x"), 0.1)
            return (await sentiq.job("a" * 32)).id

    assert asyncio.run(ask()) == JOB["id"]


def test_readers_that_stop_early(server: Scripted) -> None:
    """Results whose reader stops after a line free their connection at once, also those of `Sentiq` where an event loop
    runs: more readers may stop so than a client has connections, which are 100.
    """
    line = b'{"position": 0, "text": "x", "status": "done"}\n'
    server.answers = [Answer(200, ENDED), Answer(200, line * 4)] * 210

    async def read() -> None:
        with Sentiq(server.url, patience_s=0, timeout_s=2) as sentiq:
            for _ in range(105):
                assert next(sentiq.results("a" * 32)).position == 0
        async with AsyncSentiq(server.url, patience_s=0, timeout_s=2) as sentiq_:
            for _ in range(105):
                async with aclosing(sentiq_.results("a" * 32)) as lines:  # type: ignore[type-var]
                    assert (await anext(lines)).position == 0

    asyncio.run(read())


def test_the_blocking_client_beside_a_running_loop(server: Scripted) -> None:
    """`Sentiq` can be used where an event loop runs, as in a notebook."""
    server.answers = [Answer(200, PREDICTION)]

    async def cell() -> str | None:
        with Sentiq(server.url) as sentiq:
            return sentiq.predict("x").label

    assert asyncio.run(cell()) == "POSITIVE"
