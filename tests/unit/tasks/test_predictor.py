"""One text and many are answered alike, by a service as the web composes it and on a real server."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing

import pytest
from msgspec import structs

from model.text import clean
from tasks.errors import EmptyText, QueueFull, ServiceUnavailable, TextFailed, TextTooLong
from tasks.jobs.job import Line
from tasks.settings import Settings
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Answer, Failed, Outcome, Scored, digest
from tasks.store.presence import KnownModel, Presence
from tasks.submit.coalescer import Claimed, Coalescer
from tasks.submit.predictor import Predictor, cleaner
from tasks.submit.queue_limit import QueueLimit
from tasks.submit.recent import RecentPredictions
from tasks.submit.service import Prediction, SentimentService
from tests.support.answering import answering
from tests.support.keys import keys_without_end
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.unit.tasks.test_presence import MARK
from webapp.compose import sentiment_service

GOOD = Scored((0.1, 0.2, 0.7), False)
MAX_CHARS = 200
PATIENCE_S = 20.0
Ask = Callable[[SentimentService, str, float], Prediction | Exception | None]


def one(service: SentimentService, text: str, wait_s: float) -> Prediction | Exception | None:
    """The answer of `predict`."""
    try:
        return service.predict(text, wait_s, "me")
    except (EmptyText, TextTooLong, TextFailed, RuntimeError) as error:
        return error


def many(service: SentimentService, text: str, wait_s: float) -> Prediction | Exception | None:
    """The answer of `predict_many` to a batch with the text twice, in the form of `predict`."""
    lines = service.predict_many([text, text], wait_s, "me")
    if lines is None:
        return None
    first, second = lines
    assert second == dataclasses.replace(first, position=1)
    return told(first)


def told(line: Line) -> Prediction | Exception:
    """A line in the form of `predict`'s answer."""
    if isinstance(line.outcome, Scored):
        assert line.model is not None
        return Prediction(line.outcome, line.cached, line.model)
    assert line.outcome is not None
    errors: dict[str, Exception] = {error.code: error for error in (EmptyText(), TextTooLong(1, 1), TextFailed())}
    return errors.get(line.outcome.code, RuntimeError())


@pytest.fixture(params=[one, many])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks for one text, alone or as one of a batch."""
    found: Ask = request.param
    return found


@pytest.fixture
def make() -> Iterator[Callable[..., SentimentService]]:
    """Makes services that no longer listen after the test."""
    with contextlib.ExitStack() as made:
        yield lambda stack, **settings: made.enter_context(closing(service_on(stack, **settings)))


def service_on(stack: Stack, **settings: int) -> SentimentService:
    """A service with the stack's environment and these settings, on a server whose worker is ready."""
    mine = {"max_text_chars": MAX_CHARS, "web_concurrency": 1}
    service = sentiment_service(stack.settings().model_copy(update=mine | settings))
    Presence(stack.redis).announce(structs.replace(MARK, tag=service.model_tag))
    return service


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A server for this module alone, whose tests share a service.

    A key without a TTL that is left at the end is an error.
    """
    stack = Stack()
    stack.start_server()
    yield stack
    leaked = keys_without_end(stack.redis)
    stack.close()
    assert not leaked, f"keys without a TTL: {leaked}"


@pytest.fixture(scope="module")
def service(stack: Stack) -> Iterator[SentimentService]:
    """A service shared by tests, which ask for different texts."""
    with closing(service_on(stack)) as found:
        yield found


def working(stack: Stack, outcome: Callable[[str], Outcome]) -> AbstractContextManager[None]:
    """A context in which a worker answers."""
    return answering(stack.url, structs.replace(MARK, tag=stack.settings().model_tag), outcome)


def key_of(text: str) -> str:
    """The key of a text's prediction."""
    return f"sentiq:p:{MARK.model}:{digest(clean(text))}"


def store(stack: Stack, text: str) -> None:
    """Puts a text's prediction into the cache."""
    PredictionCache(stack.redis, ttl_s=60).settle(MARK.model, "another tag", {digest(clean(text)): GOOD})


def unknown() -> str:
    """A new text."""
    return f"good {uuid.uuid4().hex}"


def test_unknown_then_known(stack: Stack, service: SentimentService, ask: Ask) -> None:
    """An unknown text is answered by a worker; after that it is known, in this process even without asking Redis."""
    text = unknown()
    with working(stack, lambda _: GOOD):
        assert ask(service, text, PATIENCE_S) == Prediction(GOOD, False, MARK.model)
    assert stack.redis.delete(key_of(text))
    assert ask(service, text, PATIENCE_S) == Prediction(GOOD, True, MARK.model)


@pytest.mark.parametrize("wait_s", [PATIENCE_S, 0.0])
def test_known_elsewhere(stack: Stack, service: SentimentService, ask: Ask, wait_s: float) -> None:
    """A cached text is answered at once, whether the caller waits or not; after that, even without asking Redis."""
    text = unknown()
    store(stack, text)
    assert ask(service, text, wait_s) == Prediction(GOOD, True, MARK.model)
    assert stack.redis.delete(key_of(text))
    assert ask(service, text, wait_s) == Prediction(GOOD, True, MARK.model)


def test_nobody_waits(stack: Stack, service: SentimentService, ask: Ask) -> None:
    """An unknown text whose caller does not wait is neither claimed nor sent."""
    text, before = unknown(), stack.redis.llen("interactive")
    assert ask(service, text, 0.0) is None
    assert not stack.redis.exists(f"sentiq:f:{service.model_tag}:{digest(text)}")
    assert stack.redis.llen("interactive") == before


def test_too_slow(service: SentimentService, ask: Ask) -> None:
    """A text that is not answered in time has no answer."""
    assert ask(service, unknown(), 0.1) is None


@pytest.mark.parametrize(
    ("text", "kind"), [("", EmptyText), (" \x00", EmptyText), ("x" * (MAX_CHARS + 1), TextTooLong)]
)
def test_nothing_to_score(service: SentimentService, ask: Ask, text: str, kind: type[Exception]) -> None:
    """A text that cannot be scored gets its own error."""
    assert isinstance(ask(service, text, PATIENCE_S), kind)


@pytest.mark.parametrize(("code", "kind"), [(TextFailed.code, TextFailed), ("internal_error", RuntimeError)])
def test_failed(stack: Stack, service: SentimentService, ask: Ask, code: str, kind: type[Exception]) -> None:
    """A text that a worker could not score gets an error, which is never remembered."""
    text = unknown()
    with working(stack, lambda _: Failed(code)):
        assert isinstance(ask(service, text, PATIENCE_S), kind)
    with working(stack, lambda _: GOOD):
        assert ask(service, text, PATIENCE_S) == Prediction(GOOD, False, MARK.model)


def test_full_queue(stack: Stack, ask: Ask, make: Callable[..., SentimentService]) -> None:
    """While the queue is full, known texts are answered as usual, and unknown ones are refused."""
    service, known = make(stack, queue_limit=1), unknown()
    assert ask(service, unknown(), 0.1) is None  # its place is taken until its chunk expires
    store(stack, known)
    assert ask(service, known, PATIENCE_S) == Prediction(GOOD, True, MARK.model)
    if ask is one:
        with pytest.raises(QueueFull):
            service.predict(unknown(), PATIENCE_S, "me")
    else:
        assert service.predict_many([known, unknown()], PATIENCE_S, "me") is None


def test_a_batch_of_all_kinds(stack: Stack, service: SentimentService) -> None:
    """Each text of a batch has its line, in order, whatever the outcomes of the other texts."""
    good, bad, known = unknown(), unknown(), unknown()
    with working(stack, lambda key: Failed("text_failed") if key == digest(bad) else GOOD):
        assert service.predict(known, PATIENCE_S, "me") is not None
        lines = service.predict_many([good, "", bad, known, f" {good} "], PATIENCE_S, "me")
    assert lines is not None
    assert [line.position for line in lines] == list(range(5))
    assert [line.entry.text for line in lines] == [good, "", bad, known, f" {good} "]
    assert [line.outcome for line in lines] == [GOOD, Failed("empty_text"), Failed("text_failed"), GOOD, GOOD]
    assert [line.cached for line in lines] == [False, False, False, True, False]


def test_part_of_a_batch(stack: Stack, service: SentimentService) -> None:
    """A batch is not answered if a part of it does not come in time; the part that came is known afterwards."""
    slow, quick = unknown(), unknown()
    store(stack, quick)
    assert service.predict_many([quick, slow], 0.3, "me") is None
    assert stack.redis.delete(key_of(quick))
    assert service.predict(quick, 0.0, "me") == Prediction(GOOD, True, MARK.model)


def test_redis_away(ask: Ask) -> None:
    """Without Redis, callers get ServiceUnavailable."""
    nowhere = Settings(redis_url="unix:///nowhere/valkey.sock")
    with closing(sentiment_service(nowhere)) as service, pytest.raises(ServiceUnavailable):
        ask(service, unknown(), PATIENCE_S)


def test_known_while_redis_is_away(
    make_stack: Callable[..., Stack], ask: Ask, make: Callable[..., SentimentService]
) -> None:
    """While Redis is away, texts in this process's memory are answered, and others get ServiceUnavailable."""
    stack = make_stack()
    server = stack.start_server()
    service, text = make(stack), unknown()
    store(stack, text)
    assert ask(service, text, 0.0) == Prediction(GOOD, True, MARK.model)
    server.kill()

    def noticed() -> bool:
        with contextlib.suppress(ServiceUnavailable):
            service.model()
            return False
        return True

    wait_until(noticed, what="the service to ask for the workers' model again")
    assert ask(service, text, PATIENCE_S) == Prediction(GOOD, True, MARK.model)
    with pytest.raises(ServiceUnavailable):
        ask(service, unknown(), 0.0)


def test_who_no_longer_waits_leaves(stack: Stack) -> None:
    """Callers whose time is over no longer count as waiting."""
    coalescer: Coalescer[Answer] = Coalescer(
        lambda texts: Claimed({}, texts),
        lambda *_: None,
        lambda keys: (),
        queue_limit=QueueLimit(max_texts=3),
        chunk_limit=lambda _: 1,
        max_under_way=lambda: 1,
        expire_after_s=60,
        start=lambda step: None,  # nothing ever leaves
    )
    predictor = Predictor(
        cleaner(MAX_CHARS),
        RecentPredictions(),
        PredictionCache(stack.redis, ttl_s=60),
        KnownModel(Presence(stack.redis), MARK.tag),
        coalescer,
        listen=lambda: None,
    )
    assert predictor.predict(unknown(), 0.01, "me") is None
    assert predictor.predict_many([unknown(), unknown()], 0.01, "me") is None
    assert predictor.predict_many([unknown() for _ in range(4)], PATIENCE_S, "me") is None  # no room for the last one
    assert coalescer.waiting == 0
