"""The prediction cache, in-flight marks and replies, on a real server."""

from __future__ import annotations

import orjson
import pytest

from tasks.long_texts import LongTexts, fits
from tasks.store.cache import MARK_TTL_S, REPLY_TTL_S, PredictionCache
from tasks.store.connections import connect
from tasks.store.outcomes import Failed, Language, Outcome, Remarks, Scored
from tasks.wire import NewerFormat, Reply
from tests.support.stack import Stack

MODEL, TAG = "stub@1/stub", "stub@-"
GOOD, BAD = Scored((0.1, 0.2, 0.7), False), Scored((0.7, 0.2, 0.1), True)


@pytest.fixture
def cache(server: Stack) -> PredictionCache:
    """A cache on an empty server."""
    return PredictionCache(connect(server.url, timeout_s=5, blocking=True), ttl_s=100)


def test_settled_is_known(cache: PredictionCache, server: Stack) -> None:
    """A settled prediction is found, alone and among many, for its TTL, and not under another model."""
    cache.settle(MODEL, TAG, {"a": GOOD, "b": BAD})
    found = cache.get(MODEL, "a")
    assert found is not None
    assert found[0] == GOOD
    assert 0 < found[1] <= cache.ttl_s
    assert cache.get(MODEL, "c") is None
    assert cache.get_many(MODEL, ["b", "c", "a"]) == [BAD, None, GOOD]
    assert cache.get_many("other@1/stub", ["a"]) == [None]
    assert cache.get_many(MODEL, []) == []
    assert 90 < server.redis.ttl(f"sentiq:p:{MODEL}:a") <= 100


def test_remarks_are_kept_and_told(cache: PredictionCache, server: Stack) -> None:
    """What a worker says of a text besides its scores is in the cache and in replies, beside texts without remarks.

    The rows of a reply are those that the version before reads.
    """
    said = Scored((0.1, 0.2, 0.7), False, Remarks(Language("es", 0.99), ("unsupported_language",)))
    outcomes: dict[str, Outcome] = {"a": said, "b": GOOD, "c": Failed("text_failed"), "d": said}
    cache.claim(MODEL, TAG, list(outcomes), "sentiq:r:me")
    cache.claim(MODEL, TAG, list(outcomes), "sentiq:r:raw")
    cache.settle(MODEL, TAG, outcomes)
    assert cache.get_many(MODEL, list(outcomes)) == [said, GOOD, None, said]
    assert cache.await_reply("sentiq:r:me", 1) == Reply(MODEL, outcomes)
    raw = orjson.loads(server.redis.lpop("sentiq:r:raw"))
    assert raw["rows"] == {
        "a": [0.1, 0.2, 0.7, 0],
        "b": [0.1, 0.2, 0.7, 0],
        "c": "text_failed",
        "d": [0.1, 0.2, 0.7, 0],
    }


def test_thousands_in_order(cache: PredictionCache) -> None:
    """Thousands of predictions are returned in the order of their digests."""
    outcomes: dict[str, Outcome] = {f"d{i}": Scored((i / 10_000, 0.0, 0.0), False) for i in range(3500)}
    keys = list(outcomes)
    for start in range(0, len(keys), 500):
        cache.settle(MODEL, TAG, {key: outcomes[key] for key in keys[start : start + 500]})
    assert cache.get_many(MODEL, keys) == list(outcomes.values())


def test_failure_is_told_and_not_kept(cache: PredictionCache) -> None:
    """A failed text's error is in the reply, but never in the cache."""
    cache.claim(MODEL, TAG, ["a"], "sentiq:r:me")
    cache.settle(MODEL, TAG, {"a": Failed("text_failed")})
    reply = cache.await_reply("sentiq:r:me", 1)
    assert reply is not None
    assert reply.outcomes == {"a": Failed("text_failed")}
    assert cache.get(MODEL, "a") is None
    assert cache.claim(MODEL, TAG, ["a"], "sentiq:r:me").to_send == ["a"]


def test_claims(cache: PredictionCache, server: Stack) -> None:
    """The first to claim an unknown text has to send it, later ones do not; a known text is returned."""
    cache.settle(MODEL, TAG, {"known": GOOD})
    first = cache.claim(MODEL, TAG, ["a", "known", "b"], "sentiq:r:one")
    assert first.to_send == ["a", "b"]
    scored, left_s = first.known.pop("known")
    assert (scored, first.known) == (GOOD, {})
    assert 0 < left_s <= cache.ttl_s
    second = cache.claim(MODEL, TAG, ["b", "c"], "sentiq:r:two")
    assert (second.known, second.to_send) == ({}, ["c"])
    assert 0 < server.redis.ttl(f"sentiq:f:{TAG}:a") <= MARK_TTL_S


def test_all_who_wait_get_the_reply(cache: PredictionCache, server: Stack) -> None:
    """Each process gets one reply with the texts that it waits for and no others; then nothing is in flight."""
    cache.claim(MODEL, TAG, ["a", "b"], "sentiq:r:one")
    cache.claim(MODEL, TAG, ["b"], "sentiq:r:two")
    cache.settle(MODEL, TAG, {"a": GOOD, "b": BAD, "nobody's": GOOD})
    assert 0 < server.redis.ttl("sentiq:r:one") <= REPLY_TTL_S
    one, two = cache.await_reply("sentiq:r:one", 1), cache.await_reply("sentiq:r:two", 1)
    assert one is not None
    assert two is not None
    assert (one.model, one.outcomes) == (MODEL, {"a": GOOD, "b": BAD})
    assert two.outcomes == {"b": BAD}
    assert cache.await_reply("sentiq:r:one", 0.01) is None
    assert list(server.redis.scan_iter("sentiq:f:*")) == []


def test_no_model_known(cache: PredictionCache) -> None:
    """Texts can be claimed before any model is known; then none of them is known."""
    claim = cache.claim(None, TAG, ["a", "b"], "sentiq:r:one")
    assert (claim.known, claim.to_send) == ({}, ["a", "b"])


@pytest.mark.parametrize("row", [b'{"v":2,"scores":[0.1,0.9]}', b"nonsense", b"[]"])
def test_unreadable_prediction(cache: PredictionCache, server: Stack, row: bytes) -> None:
    """A prediction stored by a later version counts as missing: the first to claim its text has to send it."""
    cache.settle(MODEL, TAG, {"a": GOOD, "b": BAD})
    server.redis.set(f"sentiq:p:{MODEL}:a", row, ex=60)
    assert cache.get(MODEL, "a") is None
    assert cache.get_many(MODEL, ["a", "b"]) == [None, BAD]
    assert cache.begin("c", MODEL, ["a", "b"]) == (1, [None, BAD])
    first = cache.claim(MODEL, TAG, ["a", "b"], "sentiq:r:one")
    assert (list(first.known), first.to_send) == (["b"], ["a"])
    assert cache.claim(MODEL, TAG, ["a"], "sentiq:r:two").to_send == []
    cache.settle(MODEL, TAG, {"a": GOOD})
    assert cache.get_many(MODEL, ["a"]) == [GOOD]
    for key in ("sentiq:r:one", "sentiq:r:two"):
        assert (reply := cache.await_reply(key, 1)) is not None
        assert reply.outcomes == {"a": GOOD}


def test_unreadable_reply(cache: PredictionCache, server: Stack) -> None:
    """A reply of a later version raises an error, unlike a missing one, and the next reply is still read."""
    server.redis.rpush("sentiq:r:one", '{"v":2,"model":"m","rows":{}}', '{"model":"m","rows":{}}')
    server.redis.expire("sentiq:r:one", 60)
    with pytest.raises(NewerFormat):
        cache.await_reply("sentiq:r:one", 1)
    assert cache.await_reply("sentiq:r:one", 1) == Reply("m", {})


def test_released(cache: PredictionCache) -> None:
    """Texts that could not be sent have to be sent by the next process that claims them."""
    cache.claim(MODEL, TAG, ["a", "b"], "sentiq:r:one")
    cache.release(TAG, ["a"])
    cache.release(TAG, [])
    assert cache.claim(MODEL, TAG, ["a", "b"], "sentiq:r:two").to_send == ["a"]


def test_given_up(cache: PredictionCache) -> None:
    """Giving texts up returns those that other processes wait for; the others can be claimed again."""
    cache.claim(MODEL, TAG, ["a", "b"], "sentiq:r:one")
    cache.claim(MODEL, TAG, ["b"], "sentiq:r:two")
    assert cache.give_up(TAG, ["a", "b", "c"], "sentiq:r:one") == ["b"]
    assert cache.claim(MODEL, TAG, ["a", "b"], "sentiq:r:three").to_send == ["a"]


def test_identity_that_needs_quoting(cache: PredictionCache) -> None:
    """A reply is correct for any model name, even with quotes, backslashes or other alphabets in it."""
    identity = 'a"b\\c/модель@1'
    cache.claim(identity, TAG, ["a"], "sentiq:r:one")
    cache.settle(identity, TAG, {"a": GOOD})
    reply = cache.await_reply("sentiq:r:one", 1)
    assert reply is not None
    assert reply.model == identity


def test_begin_looks_up(cache: PredictionCache) -> None:
    """Beginning a chunk returns the number of the attempt, and the known predictions in the order of its texts."""
    cache.settle(MODEL, TAG, {"known": GOOD})
    assert cache.begin("c", MODEL, ["a", "known"]) == (1, [None, GOOD])
    assert cache.begin("c", "other", ["known"]) == (2, [None])


def test_attempts(cache: PredictionCache, server: Stack) -> None:
    """Attempts at a chunk, and at each text alone, are counted from 1 until the chunk is done; the count expires."""
    assert [cache.begin("c", MODEL, [])[0], cache.begin("c", MODEL, [])[0], cache.begin("d", MODEL, [])[0]] == [1, 2, 1]
    assert [cache.suspect("c", "x"), cache.suspect("c", "x"), cache.suspect("c", "y")] == [1, 2, 1]
    cache.settle(MODEL, TAG, {"x": GOOD}, "c")
    assert cache.suspect("c", "x") == 1
    assert server.redis.ttl("sentiq:a:c") > 0
    assert cache.begin("c", MODEL, [])[0] == 1


def test_rows_hold_no_text(cache: PredictionCache, server: Stack) -> None:
    """Stored predictions are numbers only, without the text."""
    cache.settle(MODEL, TAG, {"a": GOOD})
    assert orjson.loads(server.redis.get(f"sentiq:p:{MODEL}:a") or b"") == [0.1, 0.2, 0.7, 0]


def test_nothing_to_settle(cache: PredictionCache, server: Stack) -> None:
    """Settling nothing does nothing."""
    cache.settle(MODEL, TAG, {})
    assert server.redis.dbsize() == 0


WHOLE, CUT, DIVIDED = (
    Scored((0.1, 0.2, 0.7), False),
    Scored((0.1, 0.2, 0.7), True),
    Scored((0.1, 0.2, 0.7), False, Remarks(windows=4)),
)


@pytest.mark.parametrize(
    ("choice", "fitting"), [("windows", [WHOLE, DIVIDED]), ("truncate", [WHOLE, CUT]), ("refuse", [WHOLE])]
)
def test_predictions_of_another_choice_are_missing(server: Stack, choice: LongTexts, fitting: list[Scored]) -> None:
    """A prediction that was made by another choice of LONG_TEXTS, or by the version before, counts as missing wherever
    it is looked up, and its text is sent.
    """
    PredictionCache(server.redis, ttl_s=60).settle("m", "t", {"whole": WHOLE, "cut": CUT, "divided": DIVIDED})
    cache = PredictionCache(server.redis, ttl_s=60, fits=fits(choice))
    every = {"whole": WHOLE, "cut": CUT, "divided": DIVIDED}
    known = {key: scored for key, scored in every.items() if scored in fitting}
    assert {key: found[0] for key in every if (found := cache.get("m", key)) is not None} == known
    expected = [known.get(key) for key in every]
    assert cache.get_many("m", list(every)) == expected
    assert cache.begin(f"chunk-{choice}", "m", list(every))[1] == expected
    claim = cache.claim("m", f"tag-{choice}", list(every), "sentiq:r:me")
    assert {key: scored for key, (scored, _) in claim.known.items()} == known
    assert sorted(claim.to_send) == sorted(key for key in every if key not in known)
