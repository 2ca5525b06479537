"""Who listens to jobs, and who makes room for others."""

from __future__ import annotations

from contextlib import ExitStack

from webapp.api.events import Listener, Listeners
from webapp.api.stream_events import Batches, Place


def test_the_greediest_makes_room() -> None:
    """When there are too many listeners, the oldest stream of the caller with most of them ends, and no other."""
    listeners = Listeners(most=5)
    with ExitStack() as streams:

        def listen(caller: str) -> Listener:
            return streams.enter_context(listeners.place(caller))

        greedy = [listen("a") for _ in range(4)]
        others = [listen("b"), listen("c")]
        assert [stream.ended for stream in greedy] == [True, False, False, False]
        more = [listen("a") for _ in range(3)]
        assert [stream.ended for stream in greedy] == [True, True, True, True]
        assert not any(stream.ended for stream in [*others, *more])


def test_places_are_given_back() -> None:
    """A stream that has ended takes no place, and one that had to end gives none back twice."""
    listeners = Listeners(most=2)
    for _ in range(3):
        with listeners.place("a") as first, listeners.place("a") as second:
            assert not first.ended
            with listeners.place("b") as third:
                assert first.ended
            assert not second.ended
            assert not third.ended
    with listeners.place("a") as one, listeners.place("b") as other:
        assert not one.ended
        assert not other.ended


def test_listeners_of_a_stream_share_their_batches() -> None:
    """What happened in a stream from one place to another is read once for all who listen; of several streams and
    places, a few are remembered. Whoever comes new is told how things stand now.
    """
    batches, made = Batches(), list[str]()

    def make(name: str) -> bytes:
        made.append(name)
        return name.encode()

    for _ in range(3):
        assert batches.get("a", Place(1, 0), Place(2, 0), lambda: make("first")) == b"first"
        assert batches.get("b", Place(1, 0), Place(2, 0), lambda: make("other")) == b"other"
    assert made == ["first", "other"]
    for number in range(100):
        batches.get("a", Place(number, 1), Place(number + 1, 1), lambda: b"")
    assert batches.get("a", Place(1, 0), Place(2, 0), lambda: make("again")) == b"again"
    for expected in (b"x", b"y"):
        assert batches.get("a", None, Place(2, 0), lambda found=expected: found) == expected  # type: ignore[misc]
