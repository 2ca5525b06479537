"""The benchmark's arithmetic: what is sent, and how measurements become figures. No load is made."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench import machine, report
from benchmarks.bench.load import parse_wrk, percentiles
from benchmarks.bench.plots import plot
from benchmarks.bench.rounds import QUICK, Bench
from benchmarks.bench.systems import Baseline, Sentiq
from benchmarks.bench.texts import Texts, write_lines, zipf
from benchmarks.services import Answer
from benchmarks.versions import table
from model.labels import LABELS
from model.text import clean

HTTP = {"connections": 32, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "other": {}, "wrong": 0, "checked": 5}


def record(scenario: str, system: str, turn: int, **figures: object) -> report.Record:
    """A measurement as the benchmark stores it."""
    return {"scenario": scenario, "system": system, "round": turn, **figures}


@pytest.fixture
def records() -> list[report.Record]:
    """Two rounds of one cached and one uncached scenario."""
    found = []
    for turn, (ours, theirs) in enumerate([(400.0, 100.0), (300.0, 50.0)]):
        found.append(record("raw engine", "1 thread", turn, answers_per_s=300.0, lone_ms=9.0))
        found.append(record("raw engine", "2 threads", turn, answers_per_s=500.0, lone_ms=5.0))
        for scenario in ("cached, 32", "uncached, 32", "uncached, 1"):
            found.append(record(scenario, "Sentiq", turn, answers_per_s=ours, **HTTP))
            found.append(record(scenario, "baseline", turn, answers_per_s=theirs, **HTTP))
        found.append(record("cached, 32", "bare WSGI", turn, answers_per_s=1000.0, **HTTP))
    return found


def row(document: str, *starts: str) -> list[str]:
    """The cells of the table row that begins with these."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in document.splitlines() if line.startswith("|")
    ]
    return next(cells for cells in rows if tuple(cells[: len(starts)]) == starts)


def test_zipf_follows_its_law() -> None:
    """The first rank is drawn ten times as often as the tenth, and no rank is out of range."""
    drawn = Counter(zipf(1000, 200_000, seed=3))
    assert set(drawn) <= set(range(1000))
    assert drawn[0] / drawn[9] == pytest.approx(10, rel=0.1)
    assert zipf(1000, 50, seed=3) == zipf(1000, 50, seed=3) != zipf(1000, 50, seed=4)


def test_no_text_comes_twice(tmp_path: Path) -> None:
    """The texts of a file are its column `text`, cleaned, each with a number of its own at the end; without a file they
    are generated.
    """
    with gzip.open(file := tmp_path / "some.tsv.gz", "wt") as rows:
        rows.write("id\ttext\tlabel\n1\ta  good day\tpositive\n2\t@someone so bad\tnegative\n3\t\tneutral\n")
        rows.writelines(f"{n}\ttext number {n}\tneutral\n" for n in range(1000))
    for texts in (Texts(file), Texts(None)):
        taken = texts.take(3 * len(texts.plain))
        assert len(set(taken)) == len(taken)
        assert all(text == clean(text) for text in taken)
    assert set(Texts(file).plain) == {"a good day", "@user so bad", *(f"text number {n}" for n in range(1000))}
    assert len({len(text.split()) for text in Texts(None).plain}) > 20


@pytest.mark.parametrize("rows", ["id\tlabel\n1\tpositive\n", "text\tlabel\n" + "the same\tpositive\n" * 2000, ""])
def test_what_is_no_file_of_texts(tmp_path: Path, rows: str) -> None:
    """A file without a column `text`, or with only a few different texts, is refused: those may be labels."""
    (file := tmp_path / "some.tsv").write_text(rows)
    with pytest.raises(ValueError):
        Texts(file)


def test_what_wrk_sends_is_json(tmp_path: Path) -> None:
    """Each line of the file for wrk is a JSON string once it is put in quotes."""
    texts = ['she said "no"', "back\\slash", "line\nbreak", "naïve 😀"]
    lines = write_lines(tmp_path / "lines", texts).read_text().splitlines()
    assert [json.loads(f'"{line}"') for line in lines] == texts


def test_wrk_output_is_read() -> None:
    """The rate counts only answers with 200; other statuses and errors are counted separately."""
    line = '{"seconds":2.000,"p50_ms":1.5,"p95_ms":2.5,"p99_ms":3.5,"errors":2,"statuses":{"200":90,"202":6,"429":4}}'
    found = parse_wrk(f"Running 2s test\n  100 requests in 2.00s\nBENCH {line}\n")
    assert found["answers_per_s"] == 45
    assert found["requests"] == 100
    assert found["other"] == {"202": 6, "429": 4, "error": 2}
    silent = parse_wrk('BENCH {"seconds":2.0,"p50_ms":0,"p95_ms":0,"p99_ms":0,"errors":0,"statuses":{}}')
    assert silent["answers_per_s"] == 0
    assert "p50_ms" not in silent, "a percentile of nothing is not 0"


@given(st.lists(st.floats(0.001, 10), max_size=300))
def test_percentiles_are_in_order(seconds: list[float]) -> None:
    """Percentiles lie within the measured range and increase; without measurements there are none."""
    found = list(percentiles(seconds).values())
    assert found == pytest.approx(sorted(found))
    assert all(1000 * min(seconds) - 1e-6 <= each <= 1000 * max(seconds) + 1e-6 for each in found)
    assert bool(found) == bool(seconds)


def test_ratios_are_taken_within_a_round(records: list[report.Record]) -> None:
    """A ratio is the median of the rounds' ratios, not the ratio of medians, with the lowest and the highest."""
    ours, theirs = (report.values(records, "cached, 32", system, "answers_per_s") for system in ("Sentiq", "baseline"))
    assert report.ratios(ours, theirs) == [4, 6]
    assert report.ratios(ours, {1: 50.0, 7: 1.0}) == [6], "a round that only one of them had does not count"
    rows = report.table(["", "", "", "", ""], report.ratio_rows(records))
    assert row(rows, "cached, 32")[1:] == ["350.0 (300.0 to 400.0)", "5.00 (4.00 to 6.00)", "", "35% (30% to 40%)"]
    assert row(rows, "uncached, 32")[3] == "70% (60% to 80%)", "against the faster of the engine's layouts"


def test_void_runs_do_not_count(records: list[report.Record]) -> None:
    """A run with a wrong answer is left out of all figures, and the table says so."""
    next(each for each in records if each["system"] == "baseline")["wrong"] = 1
    assert report.values(records, "cached, 32", "baseline", "answers_per_s") == {1: 50.0}
    assert report.ratio_rows(records)[0][2] == "6.00"
    assert row(report.table([""] * 7, report.http_rows(records)), "cached, 32", "baseline")[-1] == "0; 1 runs void"


def test_wrong_answers_are_seen(tmp_path: Path) -> None:
    """A wrong label, and a cached answer where none was expected, count as wrong; for an fp32 system, labels that int8
    finds doubtful are not compared.
    """
    bench = Bench(QUICK, Texts(None), tmp_path)
    texts = bench.texts.take(100)
    truth = bench.raw.labels(texts)
    right = [(text, Answer(200, label, False)) for text, (label, _) in zip(texts, truth, strict=True)]
    wrong = [
        (text, Answer(200, next(other for other in LABELS if other != label), False))
        for text, (label, _) in zip(texts, truth, strict=True)
    ]
    sentiq, baseline = Sentiq(tmp_path / "s"), Baseline(tmp_path / "b", Path("python"))
    assert bench.judged(sentiq, right, False) == {"checked": 100, "wrong": 0}
    assert bench.judged(sentiq, wrong, False) == {"checked": 100, "wrong": 100}
    assert bench.judged(sentiq, right, True) == {"checked": 100, "wrong": 100}
    assert bench.judged(sentiq, [(texts[0], Answer(202))], False) == {"checked": 0, "wrong": 0}
    sure = sum(margin > 0.2 for _, margin in truth)
    assert 0 < sure < 100
    assert bench.judged(baseline, wrong, False) == {"checked": 100, "wrong": sure}
    for each in (bench, sentiq, baseline):
        each.close()


def test_document(tmp_path: Path, records: list[report.Record]) -> None:
    """Document, raw numbers and plots are written, without this machine's name or paths."""
    records.append(
        record("memory", "Sentiq", 0, processes=[("Gunicorn", 70.0), ("Gunicorn", 80.0)], idle_cpu_percent=2.0)
    )
    facts = machine.facts("make bench") | {
        "texts": "some",
        "engine": "e",
        "versions": "v",
        "minutes": 1,
        "absent": {"LitServe": "no network"},
    }
    text = report.write(tmp_path, facts, records)
    plot(tmp_path, records)
    assert row(text, "Sentiq", "Gunicorn") == ["Sentiq", "Gunicorn", "2", "80", "150", ""]
    assert "**LitServe** is missing here: no network" in text
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text
    assert json.loads((tmp_path / "performance.json").read_text())["records"]
    assert "raw engine" in (tmp_path / "performance-throughput.svg").read_text()
    assert "baseline" in (tmp_path / "performance-latency.svg").read_text()
    assert all(path.name in text for path in tmp_path.glob("*.svg"))


def test_memory_of_processes() -> None:
    """The proportional set size of this process is found, and a process that has ended is left out."""
    [(kind, mb)] = machine.memory([os.getpid(), 2**22 + 1])
    assert kind == "other"
    assert 5 < mb < 5000


def test_versions_are_compared_by_the_median_of_the_rounds() -> None:
    """A load's row has the median, the lowest and the highest ratio of its rounds."""
    found = table({("cached", 32): [0.9, 1.2, 1.0], ("job", 1): [0.98, 0.99]})
    assert row(found, "cached, 32") == ["cached, 32", "1.00", "0.90", "1.20"]
    assert row(found, "job, 1") == ["job, 1", "0.98", "0.98", "0.99"]
