"""Micro-batches: every text is in one, with few shapes and little padding."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.engines.batching import CHARS_PER_TOKEN, Shapes, cut, shapes, sorted_groups

LENGTHS = st.lists(st.integers(1, 256), max_size=80)


@given(lengths=LENGTHS, batch_size=st.integers(1, 40), max_cells=st.integers(1, 2000))
def test_sorted_groups_stay_within_the_budget(lengths: list[int], batch_size: int, max_cells: int) -> None:
    """No group has more texts or (unless it has one text) more tokens than allowed; each text is in one group."""
    groups = sorted_groups(lengths, batch_size, max_cells)
    for group in groups:
        assert group.length == max(lengths[row] for row in group.rows)
        assert len(group.rows) == group.batch <= batch_size
        assert group.batch == 1 or group.batch * group.length <= max_cells
    assert sorted(row for group in groups for row in group.rows) == list(range(len(lengths)))
    assert [group.length for group in groups] == sorted((group.length for group in groups), reverse=True)


@example(lengths=[16, 24, 24, 24], batch_size=8, parts=1)  # a batch of four rows, of which one is padding
@given(lengths=LENGTHS, batch_size=st.integers(1, 40), parts=st.integers(1, 4))
def test_own_lengths(lengths: list[int], batch_size: int, parts: int) -> None:
    """If asked for, every text is padded to the same length as when it is alone, whatever it is scored with."""
    few = shapes(batch_size, 256, own_lengths=True)
    groups = few.plan(lengths, parts)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(lengths)))
    for group in groups:
        assert {few.plan([lengths[row]])[0].length for row in group.rows} == {group.length}
        assert len(group.rows) <= group.batch
        assert (group.batch, group.length) in set(few.all())


@given(lengths=LENGTHS, max_cells=st.integers(256, 2000))
def test_groups_by_tokens_are_full(lengths: list[int], max_cells: int) -> None:
    """No group has room for the longest text of the next: a GPU gets as few batches as the budget allows."""
    groups = sorted_groups(lengths, len(lengths) + 1, max_cells)
    assert all((group.batch + 1) * group.length > max_cells for group in groups[:-1])


@given(lengths=LENGTHS, batch_size=st.integers(1, 40))
def test_only_warmed_shapes_are_met(lengths: list[int], batch_size: int) -> None:
    """A plan has only shapes that are run at the start, and each text is in one group, whose shape it fits."""
    few = shapes(batch_size, 256)
    known, groups = set(few.all()), few.plan(lengths)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(lengths)))
    for group in groups:
        assert (group.batch, group.length) in known
        assert len(group.rows) <= group.batch <= batch_size
        assert max(lengths[row] for row in group.rows) <= group.length


@given(lengths=st.lists(st.integers(4, 64), min_size=1, max_size=80), parts=st.integers(1, 8))
def test_large_groups_are_divided(lengths: list[int], parts: int) -> None:
    """With idle threads, no group has much more than its share of the tokens; shapes are known, and no text is lost."""
    few = shapes(32, 256)
    groups = few.plan(lengths, parts)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(lengths)))
    assert {(group.batch, group.length) for group in groups} <= set(few.all())
    most = max(96, 4 * sum(lengths) // (3 * parts))
    assert all(group.batch * group.length <= most or group.batch == 1 for group in groups)
    if parts == 1:
        assert groups == few.plan(lengths)


def test_shapes_stay_few() -> None:
    """There are at most 40 shapes for the usual batch size, as each costs a kernel, in memory and at the start."""
    assert len(list(shapes(32, 256).all())) <= 40


def test_plan_weighs_padding_against_calls() -> None:
    """Texts of similar lengths share a call, but many short texts are not padded to the length of a long one."""
    few = Shapes(batches=(1, 2, 4), lengths=(16, 256), max_cells=1024, call_cost=25)
    assert [len(group.rows) for group in few.plan([10, 12, 14])] == [3]
    assert sorted((len(group.rows), group.length) for group in few.plan([10, 12, 14, 200])) == [(1, 256), (3, 16)]


def test_text_longer_than_every_shape_is_refused() -> None:
    """A plan never drops the end of a text silently: a text that is too long is an error."""
    with pytest.raises(ValueError, match="300 tokens"):
        shapes(8, 256).plan([5, 300])


def test_plan_of_a_large_chunk_is_quick() -> None:
    """Planning 2,000 texts takes less time than scoring ten."""
    lengths = [5 + 37 * i % 60 for i in range(2000)]
    started = time.perf_counter()
    shapes(32, 256).plan(lengths)
    assert time.perf_counter() - started < 0.5


def test_short_text_is_not_cut() -> None:
    """A text within the window stays as it is."""
    assert cut("one two", 256) == ("one two", False)


def test_long_text_is_cut_at_a_blank() -> None:
    """A text longer than the window is cut between two words."""
    window, was_cut = cut("words " * 10_000, 256)
    assert was_cut
    assert len(window) <= 256 * CHARS_PER_TOKEN
    assert window.endswith("words")


def test_endless_word_is_cut_anywhere() -> None:
    """If there is no blank near the window's end, a word is cut."""
    window, was_cut = cut("a " + "x" * 100_000, 256)
    assert was_cut
    assert len(window) == 256 * CHARS_PER_TOKEN
