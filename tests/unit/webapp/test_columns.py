"""Which column of a table holds the texts, and what a caller is told who did not name one that is there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from webapp.reading.columns import nearest, text_column
from webapp.reading.names import listed, quoted
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import Options


def refusal(names: list[str], rows: list[list[str]], **options: object) -> str:
    """What is said to a caller whose column is not there."""
    with pytest.raises(UploadRefused) as refused:
        text_column(names, Options(**options), 1, lambda: rows)  # type: ignore[arg-type]
    assert refused.value.code in ("unknown_column", "invalid_field")
    return str(refused.value)


ROWS = [
    ["1", "https://x.y/a b c d", "I love how it works", "2024-01-31", ""],
    ["2", "https://x.y/b", "It broke on the second day, sadly", "2024-02-01", "de"],
    ["3", "https://x.y/c", "fine", "2024-02-02", "en"],
    ["4", "https://x.y/d", "Never again will I buy this", "2024-02-03", "fr"],
]
HEADER = ["id", "link", "Review Text", "date", "lang"]


def test_all_columns_with_examples() -> None:
    """If no column is named and there is no `text`, all are listed, each with up to three examples, and the one that
    looks like texts is named with the option that chooses it.
    """
    said = refusal(HEADER, ROWS)
    assert "no column `text`, and no other one was asked for" in said
    assert '`id` ("1", "2", "3"), `link` ("https://x.y/a b c d", "https://x.y/b", "https://x.y/c")' in said
    assert '`lang` ("de", "en", "fr")' in said
    assert "`Review Text` looks like texts: ?column=Review%20Text." in said


def test_nearest_name() -> None:
    """A misspelt column is answered with the name that is most like it, capital letters and blanks aside."""
    assert "no column `reviewtext`. Do you mean `Review Text`?" in refusal(HEADER, ROWS, column="reviewtext")
    assert "Do you mean `Text`?" in refusal(["id", "Text"], [])
    assert "Do you mean" not in refusal(HEADER, ROWS, column="zzz")
    assert nearest("Reveiw", ["views", "review", "overview"]) == "review"


def test_nothing_is_said_to_look_like_texts_without_sentences() -> None:
    """Among numbers, links and single words none is said to look like texts."""
    assert "looks like" not in refusal(["a", "b"], [["1", "https://x.y/a-b-c-d"], ["2", "de"]])


def test_a_cut_name_never_looks_whole() -> None:
    """Names and examples that are too long end in `…`; of too many columns it is said how many more there are."""
    said = refusal(["n" * 200, "b"], [["x" * 200, "y"]])
    assert f"`{'n' * 59}…`" in said
    assert f'"{"x" * 29}…"' in said
    said = refusal([f"column number {number}" for number in range(900)], [["a"] * 900])
    assert "Its 900 columns are `column number 0`, " in said
    assert "and 850 more" in said
    assert len(said) < 8000
    assert listed(["x" * 59, "y"]) == f"`{'x' * 59}`, `y`"
    assert quoted("a\n\x1b[31mb") == "`a \ufffd[31mb`"


def test_many_columns() -> None:
    """The file of a survey of fifteen questions is answered with all of its fifteen names, whole."""
    case = Path(__file__).resolve().parents[2] / "cases" / "many_columns.csv"
    header = case.read_text().splitlines()[0].split(",")
    assert len(header) == 15
    said = refusal(header, [["Good"] * 15])
    assert all(f"`{name}`" in said for name in header)


def test_without_a_header_columns_have_numbers() -> None:
    """Without a header, and without a number, the columns are listed by their numbers."""
    said = refusal(["1", "2"], [["7", "I love how it works"]], header=False)
    assert '`1` ("7"), `2` ("I love how it works")' in said
    assert "`2` looks like texts: ?column=2." in said


def test_the_search_for_a_name_is_quick() -> None:
    """A thousand names that are all like the one asked for take others no more than a moment."""
    names = [f"{'abcdefghij' * 4}{number}" for number in range(1000)]
    began_at = time.monotonic()
    nearest("abcdefghik" * 800, names)
    assert time.monotonic() - began_at < 5
