"""What downloads are called."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers
from werkzeug.http import parse_options_header

from tasks.jobs.job import Job
from webapp.api.attachments import disposition

ID = "1" * 32


def job_called(name: str | None) -> Job:
    """A job with this name."""
    return Job(id=ID, created_at=1.0, expires_at=2.0, chunk_size=3, window=4, name=name)


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("reviews.csv", "reviews-scored.csv"),
        ("two sheets.XLSX", "two sheets-scored.csv"),
        ("old.csv.gz", "old-scored.csv"),
        ("v1.2", "v1.2-scored.csv"),
        ("Zoë – März.csv", "Zoë – März-scored.csv"),
        ("評価.csv", "評価-scored.csv"),
        (None, f"{ID}-scored.csv"),
        ("", f"{ID}-scored.csv"),
        (".csv", f"{ID}-scored.csv"),
        ("../../etc/passwd", "_.._etc_passwd-scored.csv"),
        ('a"; filename="b.exe', "a_ filename=_b.exe-scored.csv"),
        ("a\r\nSet-Cookie: x=1.csv", "aSet-Cookie_ x=1-scored.csv"),
        ("\u202egnp.csv", "gnp-scored.csv"),
        ("x" * 5000, f"{'x' * 80}-scored.csv"),
    ],
)
def test_a_download_is_called_by_its_job(name: str | None, called: str) -> None:
    """A download has the name of its job's file, without what a header or a folder would take for something else; what
    only reads ASCII gets a name, too.
    """
    header = disposition(job_called(name), "-scored.csv")
    assert header.isascii()
    Headers().set("Content-Disposition", header)  # refuses line breaks
    kind, said = parse_options_header(header)
    assert kind == "attachment"
    assert said["filename"] == called  # werkzeug takes filename* where it is there
    plain = header.split('filename="')[1].split('"')[0]
    assert plain.endswith("-scored.csv")
    assert plain.removesuffix("-scored.csv").strip(" ._-")
