"""The contract that every engine keeps, and the engines' own behaviour."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from model.checkpoint import find_checkpoint
from model.engines.merging import MergingEngine
from model.engines.registry import load_engine
from model.engines.windowed import WindowedEngine
from model.text import clean

if TYPE_CHECKING:
    from model.engine import Engine
    from model.engines.compiled import CompiledEngine
    from model.engines.pipeline import PipelineEngine

TEXTS = [
    "I love this show !",
    "I hate it.",
    "😂😂😂",
    "it is a chair",
    "",
    "?",
    "@user the chair is bad http",
    "\u202eأحب هذا العرض",
    "this is good " * 12,
    "a",
    "love love love",
    "the the the the the the the bad",
]

MIXED = [*TEXTS, *(" ".join(["love", "hate", "it"] * n) for n in range(40)), "a " * 500]
"""Texts with 2 tokens to more than the tiny model's limit of 48."""


@pytest.fixture(scope="module")
def load(tiny: Callable[..., Path]) -> Callable[..., PipelineEngine]:
    """Loads the pipeline engine, always with the same tiny model on the CPU, and warms it."""
    from model.engines.pipeline import PipelineEngine

    folder = tiny()

    def loaded(batch_size: int = 2, **how: Any) -> PipelineEngine:
        rest: dict[str, Any] = {"device": "cpu", "threads": 1}
        engine = PipelineEngine(find_checkpoint(str(folder)), batch_size=batch_size, **(rest | how))
        engine.warm()
        return engine

    return loaded


@pytest.fixture(params=["stub", "compiled", "pipeline", "pipeline by tokens"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn, and the pipeline with the batches that a GPU gets."""
    if request.param == "pipeline by tokens":
        by_tokens: Engine = request.getfixturevalue("load")(by_tokens=True)
        return by_tokens
    loaded: Engine = request.getfixturevalue(request.param)
    return loaded


@contextmanager
def batches_seen(*, most_tokens: int = 1_000_000) -> Iterator[list[tuple[int, int]]]:
    """The shape (rows, tokens) of each batch that the tiny model gets; more than `most_tokens` is out of memory."""
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    shapes: list[tuple[int, int]] = []

    def note(module: object, inputs: tuple[Any, ...]) -> None:
        # Of the embeddings, only that of words has a padding index.
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            rows, length = inputs[0].shape
            shapes.append((rows, length))
            if rows * length > most_tokens:
                raise torch.OutOfMemoryError("as CUDA says it")

    hook = register_module_forward_pre_hook(note)
    try:
        yield shapes
    finally:
        hook.remove()


def test_no_texts_give_no_rows(engine: Engine) -> None:
    """An empty list gives arrays with no rows and three columns."""
    scores = engine.score([])
    assert scores.probabilities.shape == (0, 3)
    assert scores.truncated.shape == (0,)


def test_rows_are_probabilities(engine: Engine) -> None:
    """Each text, even an empty one or one of other letters, gets three float32 probabilities that sum to 1."""
    scores = engine.score(TEXTS)
    assert scores.probabilities.shape == (len(TEXTS), 3)
    assert scores.probabilities.dtype == np.float32
    assert scores.truncated.dtype == np.bool_
    assert np.isfinite(scores.probabilities).all()
    assert (scores.probabilities >= 0).all()
    np.testing.assert_allclose(scores.probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["compiled", "pipeline", "load"])
def test_texts_without_a_known_word(name: str, request: pytest.FixtureRequest) -> None:
    """An engine tells which texts have no word or emoji that the model knows; mentions and links are no words."""
    engine: Engine = request.getfixturevalue(name)(by_tokens=True) if name == "load" else request.getfixturevalue(name)
    known = ["I love it", "\u16a0 love", "", "love ?", "😂", "😂 \u16a0"]
    unknown = ["\u16a0", "\u16a0\u16a1 \u16a2 !", "@user \u16a0", "\u16a0 http 1"]
    unread = engine.score([*unknown, *known, *unknown]).unread
    assert unread is not None
    assert unread.tolist() == [True] * 4 + [False] * 6 + [True] * 4
    merged = MergingEngine(WindowedEngine(engine), max_cost=lambda: 100).score(
        [*known, "\u16a0 " * 200, "love " + "\u16a0 " * 200]
    )
    assert merged.unread is not None
    assert merged.unread.tolist() == [False] * 6 + [True, False]


def test_order_is_kept(engine: Engine) -> None:
    """Rows are in the order of the texts, in whatever order these were scored."""
    backwards = engine.score(TEXTS[::-1]).probabilities
    np.testing.assert_allclose(engine.score(TEXTS).probabilities, backwards[::-1], atol=1e-3)


def test_scores_do_not_depend_on_companions(engine: Engine) -> None:
    """A text scored alone gets the scores that it gets among others."""
    together = engine.score(TEXTS).probabilities
    alone = np.concatenate([engine.score([text]).probabilities for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_padding_does_not_count(engine: Engine) -> None:
    """A short text that is padded to a longer one's length gets the scores that it gets alone."""
    short, longer = "this is good", "the show is good and the chair is bad and i love it and i hate it"
    together = engine.score([short, longer]).probabilities[0]
    np.testing.assert_allclose(together, engine.score([short]).probabilities[0], atol=1e-3)


def test_same_text_gets_same_scores(engine: Engine) -> None:
    """Repeated texts in a list get the same row."""
    scores = engine.score(["I love this show !"] * 20).probabilities
    assert np.ptp(scores, axis=0).max() < 1e-3


def test_different_texts_get_different_scores(engine: Engine) -> None:
    """Different texts get different scores; an engine that ignores its input would pass the tests above."""
    scores = engine.score(TEXTS).probabilities
    assert len({tuple(row) for row in scores.round(3)}) > len(TEXTS) / 2


def test_count_goes_beyond_what_is_read(engine: Engine) -> None:
    """Tokens are counted however many there are, and longer texts have more; no texts have no counts."""
    nothing, short, long = engine.count(["", "i love it", "i love it " * 1000])
    assert nothing < short < 100
    assert long > engine.description.max_tokens > 0
    assert long - nothing >= 900 * (short - nothing)
    assert list(engine.count([])) == []


def test_windowed_reads_all(engine: Engine) -> None:
    """In windows, each engine reads all of a text of 10,000 words; a short text beside it has the scores that it has
    alone.
    """
    texts = ["I love this show !", "this is good " * 3333 + "bad"]
    scores = WindowedEngine(engine).score(texts)
    assert scores.truncated.tolist() == [False, False]
    assert scores.windows is not None
    assert scores.windows[0] == 1
    assert scores.windows[1] >= 10_000 / engine.description.max_tokens
    np.testing.assert_allclose(scores.probabilities[0], engine.score(texts[:1]).probabilities[0], atol=1e-3)
    np.testing.assert_allclose(scores.probabilities.sum(1), 1, atol=1e-5)


def test_long_text_is_truncated_and_says_so(engine: Engine) -> None:
    """A text of 10,000 words is scored by its beginning and marked as truncated; a short text beside it is not."""
    scores = engine.score(["I love this show !", "this is good " * 3334])
    assert scores.truncated.tolist() == [False, True]
    assert np.isfinite(scores.probabilities).all()


def test_many_short_words_are_truncated_and_say_so(engine: Engine) -> None:
    """A text of few characters but more tokens than the model reads is marked as truncated, too."""
    assert engine.score(["a " * 500, "a chair"]).truncated.tolist() == [True, False]


def test_a_megabyte_without_a_blank_is_scored(engine: Engine) -> None:
    """A text of one endless word is cut before it is tokenised, and marked as truncated."""
    scores = engine.score(["x" * 1_000_000])
    assert np.isfinite(scores.probabilities).all()
    assert scores.truncated.tolist() == [True]


def test_hostile_texts_are_scored_once_cleaned(engine: Engine) -> None:
    """Lone surrogates, NUL and other control characters do not break an engine after cleaning."""
    texts = [clean(text) for text in ("bad \ud83d text", "nul \x00 here", "\x1b[31mred", "e\u0301 " * 50)]
    assert np.isfinite(engine.score(texts).probabilities).all()


def test_threads_may_score_at_once(engine: Engine) -> None:
    """Eight threads on one engine get the same as one thread; a tokenizer used wrongly raises "Already borrowed"."""
    texts = [*TEXTS, "this is good " * 200]
    expected = engine.score(texts).probabilities
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(engine.score, [texts] * 40):
            np.testing.assert_allclose(scores.probabilities, expected, atol=1e-3)


def test_identity_and_device_are_named(engine: Engine) -> None:
    """The identity has the form name@revision/engine, without a path; the device is a CPU here."""
    name, _, rest = engine.identity.partition("@")
    revision, _, arithmetic = rest.partition("/")
    assert name
    assert revision
    assert arithmetic
    assert engine.identity.count("/") == 1
    assert engine.device == "cpu"


def test_description_says_what_the_columns_mean(engine: Engine) -> None:
    """The description has the form and, for each class of the model, a class of the analysis; it passes a wrapper."""
    told = engine.description
    assert told.form in ("stub", "int8", "pipeline")
    assert len(told.names) == len(told.mapped) > 1
    assert told.two_class == (set(told.mapped) != set(engine.analysis.classes))
    assert MergingEngine(engine, max_cost=lambda: 8).description == told


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_change_no_score(threads: int, compiled: Engine) -> None:
    """Any number of threads (0: one per core) gives each text the same scores, even with more callers than threads."""
    texts = [f"good {'word ' * (n % 40)} {n}" for n in range(60)]
    engine = load_engine("default", engine="compiled", device="cpu", threads=threads)
    expected = compiled.score(texts).probabilities
    with ThreadPoolExecutor(6) as pool:
        for scores in pool.map(engine.score, [texts] * 6):
            assert np.allclose(scores.probabilities, expected, atol=0.01)
            assert np.array_equal(scores.probabilities.argmax(1), expected.argmax(1))


def test_a_failed_batch_blocks_nobody() -> None:
    """After an error in the middle of a call, its inference requests are free again: later calls are answered."""
    engine = load_engine("default", engine="compiled", device="cpu", threads=1)
    texts = [*(f"good day number {n}" for n in range(100)), b"x"]  # b"x" is tokenised last, while others are scored
    for _ in range(5):
        with pytest.raises(TypeError):
            engine.score(texts)  # type: ignore[arg-type]
    assert engine.score(["good"]).probabilities.argmax() == 2


def test_a_few_texts_wait_for_no_large_call(compiled: CompiledEngine) -> None:
    """While large calls have all the requests of the graph, a few short texts are scored; many wait for a request."""
    taken = [compiled._idle.get() for _ in range(compiled._idle.qsize())]
    with ThreadPoolExecutor(1) as pool:
        assert np.array_equal(compiled.score(["good"]).probabilities, compiled.score(["good"]).probabilities)
        many = pool.submit(compiled.score, ["a text that is not short " * 20] * 8)
        with pytest.raises(TimeoutError):
            many.result(0.05)
        for request in taken:
            compiled._idle.put(request)
        assert len(many.result(30).probabilities) == 8


def test_long_texts_leave_room_for_small_calls(compiled: Any) -> None:
    """While small calls come, a call with long texts never has more groups under way than there are threads."""
    most = 0
    idle = compiled._idle

    class Watched:
        """The idle requests; notes how many were taken at once."""

        def __getattr__(self, name: str) -> Any:
            return getattr(idle, name)

        def get_nowait(self) -> Any:
            nonlocal most
            request = idle.get_nowait()
            most = max(most, compiled._threads + 1 - idle.qsize())
            return request

    compiled._idle, compiled._small_at = Watched(), -math.inf
    try:
        long = ["a text that is long enough " * 40] * 12
        expected = compiled.score(long).probabilities
        assert most == compiled._threads + 1
        most, compiled._small_at = 0, math.inf
        assert np.array_equal(compiled.score(long).probabilities, expected)
        assert most == compiled._threads
    finally:
        compiled._idle, compiled._small_at = idle, -math.inf


def test_threads_may_be_left_to_torch(load: Callable[..., PipelineEngine]) -> None:
    """The engine starts with the setting's default, 0: torch then uses a thread for each core."""
    assert np.isfinite(load(threads=0).score(["love it"]).probabilities).all()


def test_batches_by_tokens_change_no_score(load: Callable[..., PipelineEngine]) -> None:
    """Batches measured in tokens give each text the same scores as batches measured in texts."""
    expected = load().score(MIXED)
    for batch_size in (1, 2, 7, 100):
        scores = load(batch_size, by_tokens=True).score(MIXED)
        np.testing.assert_allclose(scores.probabilities, expected.probabilities, atol=1e-5)
        assert scores.truncated.tolist() == expected.truncated.tolist()


def test_batches_by_tokens_have_room_for_so_many_full_texts(load: Callable[..., PipelineEngine]) -> None:
    """A batch holds BATCH_SIZE texts of full length, or more of shorter ones, padded to lengths in steps."""
    engine = load(4, by_tokens=True)
    with batches_seen() as shapes:
        engine.score([*MIXED, *["love it"] * 40])
    assert all(rows * length <= 4 * 48 for rows, length in shapes)
    assert {length for _, length in shapes} <= set(range(8, 49, 8))
    assert max(rows for rows, _ in shapes) == 4 * 48 // 8


def test_long_texts_leave_short_ones_alone(load: Callable[..., PipelineEngine]) -> None:
    """On a CPU, a batch has at most 1,024 tokens with its padding: a few long texts do not make all others as long."""
    engine = load(100)
    with batches_seen() as shapes:
        engine.score([*["a " * 500] * 22, *["love it"] * 70])
    assert shapes == [(21, 48), (21, 48), (50, 4)]


def test_batches_by_count_are_what_they_were(load: Callable[..., PipelineEngine]) -> None:
    """On a CPU, a batch has at most BATCH_SIZE texts and is as long as its longest text."""
    engine = load(4)
    with batches_seen() as shapes:
        engine.score(["love it", "love", "it", "hate", "a chair is good", "bad"])
    assert shapes == [(4, 6), (2, 3)]


def test_warm_meets_the_largest_batch(load: Callable[..., PipelineEngine]) -> None:
    """A GPU's memory is allocated at the start, by full batches of the longest and of the shortest texts."""
    with batches_seen() as warmed:
        engine = load(3, by_tokens=True)
    with batches_seen() as shapes:
        engine.score([*MIXED * 3, *["it"] * 50])
    assert {(3, 48), (18, 8)} <= set(warmed)
    assert max(length for _, length in shapes) == 48
    assert max(rows for rows, _ in shapes) == 18
    assert max(rows * length for rows, length in shapes) == 3 * 48


def test_no_batch_is_longer_than_the_model_reads(tiny: Callable[..., Path]) -> None:
    """A limit between two steps of length is kept: a position beyond it is an error, and on a GPU ends the process."""
    from model.engines.pipeline import PipelineEngine

    folder = tiny()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 45}))
    engine = PipelineEngine(find_checkpoint(str(folder)), device="cpu", batch_size=2, threads=1, by_tokens=True)
    with batches_seen() as shapes:
        assert engine.score(["it " * 43, "it " * 44, "it " * 45]).truncated.tolist() == [False, True, True]
    assert {length for _, length in shapes} == {45}


def test_batch_that_does_not_fit_is_halved(
    load: Callable[..., PipelineEngine], caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that does not fit into memory is halved; the budget stays lowered, and the log says so."""
    expected = load().score(MIXED).probabilities
    engine = load(16, by_tokens=True)
    with batches_seen(most_tokens=200) as shapes:
        np.testing.assert_allclose(engine.score(MIXED).probabilities, expected, atol=1e-5)
        # Halving 16 x 48 tokens twice gives 192.
        assert sum(rows * length > 200 for rows, length in shapes) == 2
        shapes.clear()
        engine.score(MIXED)
        assert all(rows * length <= 200 for rows, length in shapes)
    assert [record.getMessage().rpartition(" at most ")[2] for record in caplog.records] == ["384 tokens", "192 tokens"]


def test_small_memory_is_found_at_start(load: Callable[..., PipelineEngine]) -> None:
    """An engine starts even if a full batch does not fit into the GPU, and then no batch of a caller fails."""
    with batches_seen(most_tokens=100) as shapes:
        engine = load(16, by_tokens=True)
        shapes.clear()
        assert np.isfinite(engine.score(MIXED).probabilities).all()
        assert all(rows * length <= 100 for rows, length in shapes)


def test_text_that_does_not_fit_alone_is_an_error(load: Callable[..., PipelineEngine]) -> None:
    """If a single text does not fit into memory, the error is raised, no answer is made up, and the next call works."""
    import torch

    engine = load(by_tokens=True)
    with batches_seen(most_tokens=30):
        with pytest.raises(torch.OutOfMemoryError):
            engine.score(["it " * 40, "love it"])
        assert np.isfinite(engine.score(["love it", "a chair"]).probabilities).all()


@pytest.mark.parametrize(
    ("dtype", "name", "atol"), [("bfloat16", "pipeline-bf16", 0.05), ("float16", "pipeline-fp16", 0.01)]
)
def test_half_precision_comes_near(load: Callable[..., PipelineEngine], dtype: str, name: str, atol: float) -> None:
    """A GPU's arithmetic gives nearly the same scores, under another identity."""
    engine = load(by_tokens=True, dtype=dtype)
    assert engine.identity.rpartition("/")[2] == name
    np.testing.assert_allclose(engine.score(MIXED).probabilities, load().score(MIXED).probabilities, atol=atol)


def test_padding_is_the_tokenizers(load: Callable[..., PipelineEngine]) -> None:
    """Rows are padded on the side, and with the values, that the model's tokenizer pads with."""
    engine = load()
    keys = ("input_ids", "token_type_ids", "attention_mask")
    rows = [dict(zip(keys, columns, strict=True)) for columns in (([2, 7, 3], [0, 1, 1], [1, 1, 1]), ([2], [1], [1]))]
    tokenizer: Any = engine._tokenizer
    for side in ("left", "right"):
        tokenizer.padding_side = side
        by_hand = engine._padded(rows, 5)
        padded = tokenizer.pad(
            {key: [row[key] for row in rows] for key in keys}, padding="max_length", max_length=5, return_tensors="pt"
        )
        assert {key: value.tolist() for key, value in by_hand.items()} == {
            key: value.tolist() for key, value in padded.items()
        }


def test_next_is_made_while_the_caller_has_one() -> None:
    """The second item is begun before the caller is done with the first; all items come, in order."""
    pytest.importorskip("torch")
    from model.engines.pipeline import ahead

    second = threading.Event()

    def made() -> Iterator[int]:
        yield 1
        second.set()
        yield 2
        yield 3

    items = ahead(made())
    assert next(items) == 1
    assert second.wait(30)
    assert list(items) == [2, 3]


def test_error_of_the_next_reaches_the_caller() -> None:
    """An error on the other thread is raised where the items are used."""
    pytest.importorskip("torch")
    from model.engines.pipeline import ahead

    def made() -> Iterator[int]:
        yield 1
        raise KeyError("2")

    items = ahead(made())
    assert next(items) == 1
    with pytest.raises(KeyError):
        next(items)
