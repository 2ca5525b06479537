"""The parts of training that are plain arithmetic: data files, metrics, temperature."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from model.training.calibration import fitted, scaled
from model.training.data import Example, Source, batches, draw, log_priors, read, with_links
from model.training.metrics import ece, metrics, nll, reliability


def test_figures_of_a_hand_counted_case() -> None:
    """Six answers whose recalls are 1/2, 2/3 and 1, and whose F1s are 1/2, 2/3 and 1."""
    labels = np.array([0, 0, 1, 1, 1, 2])
    predicted = [0, 1, 1, 1, 0, 2]
    figures = metrics(np.eye(3, dtype=np.float32)[predicted], labels)
    assert figures.recall == pytest.approx((1 / 2, 2 / 3, 1))
    assert figures.macro_recall == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert figures.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert figures.accuracy == pytest.approx(4 / 6)
    assert figures.ece == pytest.approx(2 / 6)


def test_precision_counts_in_f1() -> None:
    """Always answering one class gives it recall 1, but an F1 of 2·2/(2+4); the other classes have 0."""
    figures = metrics(np.eye(3, dtype=np.float32)[[0, 0, 0, 0]], np.array([0, 0, 1, 2]))
    assert figures.macro_recall == pytest.approx(1 / 3)
    assert figures.macro_f1 == pytest.approx((4 / 6) / 3)


def test_absent_class_is_left_out() -> None:
    """A class without any text does not count in the averages."""
    figures = metrics(np.eye(3, dtype=np.float32)[[0, 2]], np.array([0, 2]))
    assert figures.macro_recall == 1
    assert np.isnan(figures.recall[1])


def test_ece_of_two_bins() -> None:
    """With bins of equal size, the lower half has |0.5 - 0.5| and the upper |0.9 - 0.5|, so 0.2 on average."""
    confidence = np.array([0.9, 0.4, 0.9, 0.6], dtype=np.float32)
    correct = np.array([True, True, False, False])
    assert ece(confidence, correct, bins=2) == pytest.approx(0.2)


def test_reliability_of_two_bins() -> None:
    """The less confident half comes first, with its mean confidence, its share of right answers, and its size."""
    confidence = np.array([0.9, 0.4, 0.9, 0.6], dtype=np.float32)
    correct = np.array([True, True, False, False])
    assert np.array(reliability(confidence, correct, bins=2)) == pytest.approx(np.array([[0.5, 0.5, 2], [0.9, 0.5, 2]]))


def test_ece_of_fewer_answers_than_bins() -> None:
    """Empty bins do not count."""
    assert ece(np.array([0.8], dtype=np.float32), np.array([True])) == pytest.approx(0.2)


def test_nll_of_a_hand_counted_case() -> None:
    """The result is the mean of -ln 0.5 and -ln 0.25."""
    probabilities = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], dtype=np.float32)
    assert nll(probabilities, np.array([0, 1])) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_temperature_is_found_again() -> None:
    """A temperature of 2 is found for calibrated answers whose logits were doubled."""
    rng = np.random.default_rng(1)
    honest = scaled(rng.dirichlet([1, 1, 1], 20_000).astype(np.float32), 1.0)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in honest.astype(np.float64)])
    assert fitted([(scaled(honest, 0.5), labels)]) == pytest.approx(2, abs=0.06)


def test_temperature_changes_no_label() -> None:
    """Scaling changes how confident answers are, never their labels."""
    probabilities = np.random.default_rng(2).dirichlet([1, 1, 1], 100).astype(np.float32)
    for temperature in (0.5, 3.0):
        assert (scaled(probabilities, temperature).argmax(1) == probabilities.argmax(1)).all()


def test_pictures_are_drawn(tmp_path: Path) -> None:
    """Both pictures of the model card are SVG with names as text, and the same figures give the same bytes."""
    pytest.importorskip("matplotlib")
    from model.training import plots

    probabilities = np.random.default_rng(3).dirichlet([1, 1, 1], 60).astype(np.float32)
    answers = [(f"file {n}", probabilities, np.arange(60) % 3) for n in range(4)]
    candidates = [plots.Candidate("6 layers", 270, 71.5, shipped=True), plots.Candidate("3 layers", 500, 68.0)]
    for name in ("one", "two"):
        plots.reliability(answers, tmp_path / f"{name}-reliability.svg")
        plots.pareto(candidates, tmp_path / f"{name}-pareto.svg")
    for kind, words in (("reliability", ["file 3", "ECE", "confidence"]), ("pareto", ["3 layers", "texts a second"])):
        drawn = (tmp_path / f"one-{kind}.svg").read_text()
        assert all(word in drawn for word in words)
        assert drawn == (tmp_path / f"two-{kind}.svg").read_text()


def write(path: Path, *rows: str) -> Path:
    """Writes a data file with the given rows."""
    path.write_bytes(gzip.compress("\n".join(["text\tlabel", *rows, ""]).encode()))
    return path


def test_file_is_read_and_cleaned(tmp_path: Path) -> None:
    """Rows are cleaned as in the service, and quotes are kept."""
    path = write(tmp_path / "a.tsv.gz", 'hello @Bob "you\tpositive', "bad &amp; sad\tnegative")
    assert read(path) == [Example('hello @user "you', 2, "a.tsv.gz", 0), Example("bad & sad", 0, "a.tsv.gz", 1)]


@pytest.mark.parametrize("row", ["no tab", "text\thappy"])
def test_wrong_row_is_refused_with_its_line(tmp_path: Path, row: str) -> None:
    """A row that is not a text, a tab and a label is an error with the line number."""
    with pytest.raises(ValueError, match="line 3"):
        read(write(tmp_path / "a.tsv.gz", "fine\tpositive", row))


def test_unlabelled_file_is_read(tmp_path: Path) -> None:
    """Under the header `text` alone, each line is a text without a label; a tab is an error with the line number."""
    path = tmp_path / "u.tsv.gz"
    path.write_bytes(gzip.compress(b"text\nhello\nbad &amp; sad\n"))
    assert read(path) == [Example("hello", None, "u.tsv.gz", 0), Example("bad & sad", None, "u.tsv.gz", 1)]
    path.write_bytes(gzip.compress(b"text\nhello\tpositive\n"))
    with pytest.raises(ValueError, match="line 2"):
        read(path)


def test_log_priors_are_class_frequencies_by_file() -> None:
    """One negative of four gives ln 1/4; a class that never occurs counts once; a file without labels has zeros."""
    examples = [Example("t", label, "a") for label in (0, 1, 1, 2)] + [Example("t", 1, "b"), Example("t", None, "c")]
    found = log_priors(examples)
    assert found["a"] == pytest.approx(np.log([1 / 4, 2 / 4, 1 / 4]))
    assert found["b"] == pytest.approx(np.log([1 / 3, 1 / 3, 1 / 3]))
    assert found["c"] == pytest.approx([0, 0, 0])


def test_draw_takes_the_same_rows_first(tmp_path: Path) -> None:
    """The same texts are drawn again, which resuming relies on; a larger number draws these and more, not the file's
    first ones.
    """
    write(tmp_path / "a.tsv.gz", *(f"text {n}\tneutral" for n in range(100)))
    ten, more = draw(tmp_path, (Source("a.tsv.gz", 10),)), draw(tmp_path, (Source("a.tsv.gz", 60),))
    assert ten == draw(tmp_path, (Source("a.tsv.gz", 10),)) == more[:10]
    assert len({example.text for example in more}) == 60
    assert {example.row for example in more} != set(range(60))


def test_links_are_added_to_a_share() -> None:
    """About the given share of the texts gets a link at one end, and no label changes."""
    examples = [Example(f"text {n}", n % 3) for n in range(2000)]
    linked = with_links(examples, 0.15, 1)
    assert 0.1 < np.mean(["http" in example.text for example in linked]) < 0.2
    assert [example.label for example in linked] == [example.label for example in examples]


def test_batches_hold_each_row_once() -> None:
    """Every row is in exactly one batch of at most the given size."""
    made = batches([n % 40 for n in range(1000)], 32, 1)
    assert sorted(row for batch in made for row in batch) == list(range(1000))
    assert max(map(len, made)) == 32
