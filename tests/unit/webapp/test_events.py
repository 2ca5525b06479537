"""Who listens to jobs, and who makes room for others."""

from __future__ import annotations

from contextlib import ExitStack

from webapp.api.events import Listener, Listeners


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
