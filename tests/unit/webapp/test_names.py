"""Names of files, as jobs are called by them."""

from __future__ import annotations

import pytest

from webapp.reading.names import LONGEST_NAME, name_of_file, one_line


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("reviews.csv", "reviews.csv"),
        ("C:\\Users\\ann\\reviews (2).xlsx", "reviews (2).xlsx"),
        ("exports/2026/reviews.csv", "reviews.csv"),
        ("two\r\nlines\t\x1b[31m\x00.csv", "two lines [31m .csv"),
        (
            "\u0645\u0631\u0627\u062c\u0639\u0627\u062a \u202ecsv.exe",
            "\u0645\u0631\u0627\u062c\u0639\u0627\u062a \u202ecsv.exe",
        ),
        ("<img src=x onerror=alert(1)>.csv", "<img src=x onerror=alert(1)>.csv"),
        ("folder/", None),
        (" \r\n", None),
    ],
)
def test_a_files_name(sent: str, kept: str | None) -> None:
    """A file is called by its name without folders, on one line; what is no control character stays as it is."""
    assert name_of_file(sent) == kept


def test_a_long_name_keeps_its_ending() -> None:
    """Of a name that is too long the beginning and the ending stay, with a sign for what is left out."""
    kept = name_of_file("x" * 5000 + " final.csv.gz")
    assert kept is not None
    assert len(kept) == LONGEST_NAME
    assert kept.endswith("x…final.csv.gz")


def test_a_name_is_one_line() -> None:
    """Line breaks of any kind, and halves of signs, do not get into a name."""
    assert one_line("a\u2028b\u2029c\x85d\ud800e") == "a b c d e"
