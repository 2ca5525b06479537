"""Random samples of a job's lines, and which labels of them count in which report."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from tasks.store.outcomes import Failed, Outcome, Scored
from tasks.streams.job_labels import Counts, Draw, counts, place_of, text_id
from tasks.streams.labels import Given, Label, Offer
from tests.unit.webapp.test_reports import NAMES, SCORES, Cells, made, report, sandbox
from webapp.report.drawing import MOST_DRAWN, order_of
from webapp.sandbox.process import Sandbox

__all__ = ["sandbox"]


def cells(count: int) -> list[Cells]:
    """Rows of which one in four is of B, the others of A."""
    return [("", "B" if place % 4 == 3 else "A", "", "", f"text {place}") for place in range(count)]


def outcomes(count: int) -> list[Outcome | None]:
    """Every tenth line failed; of the others the class is that of the position."""
    return [Failed("empty_text") if place % 10 == 0 else Scored(SCORES[place % 3], False) for place in range(count)]


def drawn(sandbox: Sandbox, count: int, *, segment: str | None = "candidate", job: str = "1" * 32) -> Draw:
    """What is drawn of such lines."""
    asked: dict[str, Any] = {"format": "draw", "columns": (None, segment, None, None), "job": job}
    raw = made(sandbox, cells(count), outcomes(count), **asked)
    return msgspec.json.decode(raw, type=Draw)


def test_lines_are_drawn_with_their_own_scores(sandbox: Sandbox) -> None:
    """Of each segment those lines are drawn that were scored, each once and with its own scores, in another order than
    that of the file; the sums are those of all.
    """
    draw = drawn(sandbox, 400)
    assert [one.name for one in draw.segments] == ["A", "B"]
    for name, places in (("A", (0, 1, 2)), ("B", (3,))):
        segment = draw.segment(name)
        assert segment is not None
        positions = [line.position for line in segment.lines]
        assert sorted(positions) == [place for place in range(400) if place % 4 in places and place % 10]
        assert positions != sorted(positions)
        assert all(line.scores == pytest.approx(SCORES[line.position % 3]) for line in segment.lines)
        labels = Counter(position % 3 for position in positions)
        assert segment.sums[:3] == [labels[0], labels[1], labels[2]]


def test_the_order_is_random_and_always_the_same(sandbox: Sandbox) -> None:
    """All segments have the order that all lines have; another job has another one; and over many jobs each line is
    among the first as often as chance would have it.
    """
    all_lines = [line.position for line in drawn(sandbox, 400, segment=None).segments[0].lines]
    assert all_lines == [line.position for line in drawn(sandbox, 400, segment=None).segments[0].lines]
    for segment in drawn(sandbox, 400).segments:
        positions = [line.position for line in segment.lines]
        assert positions == [position for position in all_lines if position in set(positions)]
    assert [line.position for line in drawn(sandbox, 400, segment=None, job="2" * 32).segments[0].lines] != all_lines
    chosen, first = random.Random(1), np.zeros(400)
    for _ in range(400):
        first[np.argsort(order_of(np.arange(400), chosen.getrandbits(64)))[:40]] += 1
    assert ((first - 40) ** 2 / 36).sum() < 399 + 4 * (2 * 399) ** 0.5


def test_no_more_are_drawn_than_may_be(sandbox: Sandbox) -> None:
    """Of many lines, so many are drawn."""
    (segment,) = drawn(sandbox, MOST_DRAWN + 400, segment=None).segments
    assert len(segment.lines) == MOST_DRAWN
    assert sum(segment.sums[:3]) == (MOST_DRAWN + 400) * 0.9


def given(*said: tuple[str, str, int | str | None], segment: str = "") -> Given:
    """What people were given and have said: a text's id, the person, and the label; "" if there is none yet."""
    labels: dict[str, list[Label]] = {}
    for id, by, label in said:
        if not isinstance(label, str):
            labels.setdefault(id, []).append(Label(by, label, 1))
    return Given([Offer(id, segment, by) for id, by, _ in said], {}, labels)


def test_an_id_says_how_and_what_was_drawn() -> None:
    """The id of a text has the column by which it was drawn, and its line."""
    for column, position in ((None, 0), (0, 7), (None, 10**9), (3000, 999_999)):
        assert place_of(text_id(column, position)) == (column, position)
        assert len(text_id(column, position)) == 16


def test_labels_by_another_column_do_not_count() -> None:
    """Labels of texts drawn from all lines count everywhere, those drawn by a column only there."""
    said = given((text_id(None, 1), "a", 0), (text_id(2, 2), "a", 1), (text_id(3, 3), "a", 2))
    assert counts(said, None) == Counts({1: 0}, set(), {2, 3})
    assert counts(said, 2) == Counts({1: 0, 2: 1}, set(), {3})
    assert counts(said, 3) == Counts({1: 0, 3: 2}, set(), {2})
    assert counts(said, 4) == Counts({1: 0}, set(), {2, 3})


def test_each_persons_texts_of_each_draw_are_looked_at_by_themselves() -> None:
    """Whoever leaves out most texts of one draw has a random sample of another all the same; and what is not told by
    one is told by another.
    """
    left = [(text_id(None, place), "a", "" if place < 8 else 0) for place in range(10)]
    said = given(*left, (text_id(2, 20), "a", 1), (text_id(2, 21), "a", None), (text_id(2, 21), "b", 2))
    found = counts(said, 2)
    assert found.set_aside == {8, 9}
    assert found.labels == {20: 1, 21: 2}
    assert counts(given((text_id(None, 5), "a", None)), None).labels == {5: None}


def test_labels_are_put_to_their_lines(sandbox: Sandbox) -> None:
    """A report takes a person's label for that very line, with its segment, in place of the column's cell; without a
    column, too.
    """
    labels = {place: 2 for place in range(400) if place % 4 == 3 and place % 10}
    for column in (None, "gold"):
        found = report(
            sandbox, cells(400), outcomes(400), columns=(None, "candidate", column, None), labelled=True, labels=labels
        )
        by_name = {one["name"]: one for one in found["segments"]}
        assert by_name["B"]["method"] == "every text is labelled"
        assert by_name["B"]["positive"]["estimate"] == 1.0
        assert (by_name["A"]["labelled"], by_name["A"]["method"]) == (0, "raw")
    assert NAMES[2] == "gold"
