"""The measurements on other models than the embedded one: folders of known sizes, and figures and tables of them."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from benchmarks import checkpoints, models
from benchmarks.bench import machine
from benchmarks.bench.models import QUICK, ModelBench, markdown, rows
from benchmarks.bench.report import Record
from benchmarks.bench.systems import Baseline, Pipelined, Sentiq
from benchmarks.bench.texts import Texts
from benchmarks.checkpoints import Shape
from benchmarks.services import Answer
from model.engines.registry import load_engine
from model.labels import LABELS
from model.source import DEFAULT

HTTP = {"connections": 32, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "other": {}, "wrong": 0, "checked": 5}
PLAIN = Texts(None).plain[:1500]
TEXTS = [text + ("", "!", ", really")[number % 3] for number, text in enumerate(PLAIN)]
WANTED = np.array([(1, 2, 0)[number % 3] for number in range(len(TEXTS))])


@pytest.fixture
def records() -> list[Record]:
    """Two rounds of one load on all three systems, the raw engine, and one job each."""
    found: list[Record] = []
    for turn, rates in enumerate([(200.0, 40.0, 20.0), (180.0, 30.0, 15.0)]):
        found.append(
            {"scenario": "raw engine", "system": "2 threads", "round": turn, "answers_per_s": 240.0, "lone_ms": 9}
        )
        for system, rate in zip(("Sentiq", "Sentiq, pipeline", "baseline"), rates, strict=True):
            about: Record = {"system": system, "round": turn}
            found.append(about | HTTP | {"scenario": "uncached, 32", "answers_per_s": rate})
            if turn == 0:
                found.append(about | {"scenario": "job", "answers_per_s": 1.1 * rate, "texts": 100, "wrong": 0})
                found.append(about | {"scenario": "first start", "seconds": 61.5})
                found.append(about | {"scenario": "second start", "seconds": 6.25})
    return found


def test_a_load_is_compared_round_by_round(records: list[Record]) -> None:
    """Each load and the job have a row: the rate of each system, and Sentiq's as a multiple of the others' and a share
    of the raw engine's, as medians over the rounds.
    """
    found = {row[0]: row[1:] for row in rows(records)}
    assert found["uncached, 32"] == [
        "190.0 (180.0 to 200.0)",
        "35.0 (30.0 to 40.0)",
        "17.5 (15.0 to 20.0)",
        "5.5 (5.0 to 6.0)",
        "11.0 (10.0 to 12.0)",
        "79% (75% to 83%)",
    ]
    assert found["job"] == ["220.0", "44.0", "22.0", "5.0", "10.0", "92%"]
    next(each for each in records if each["scenario"] == "job")["wrong"] = 1
    assert {row[0]: row[1] for row in rows(records)}["job"] == "", "a void run does not count"


def test_document_of_one_model(records: list[Record]) -> None:
    """The document has both starts and what `/model` says, and neither this machine's name nor its paths."""
    facts = machine.facts("make bench MODEL=some") | {"model": "some", "minutes": 1, "texts": "t", "engine": "e"}
    text = markdown(facts | {"versions": "v"}, records, {"form": "int8"})
    assert "| first start  | 61.5" in text
    assert "| second start | 6.2 " in text
    assert '"form": "int8"' in text
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd())):
        assert private not in text


def test_labels_of_the_model_are_understood(tmp_path: Path) -> None:
    """The baseline answers with the model's own labels: they are judged by the classes that they count as, or not at
    all if several count as one. Sentiq answers with the classes.
    """
    bench = ModelBench(QUICK, Texts(None), tmp_path, Path("unused"))
    own = {f"LABEL_{number}": label for number, label in enumerate(LABELS)}
    bench.raw = raw = models_engine()
    raw.meaning = own
    texts = bench.texts.take(50)
    truth = raw.labels(texts)
    named = {label: name for name, label in own.items()}
    theirs = [(text, Answer(200, named[label])) for text, (label, _) in zip(texts, truth, strict=True)]
    ours = [(text, Answer(200, label)) for text, (label, _) in zip(texts, truth, strict=True)]
    baseline, sentiq = Baseline(tmp_path / "b", Path("python")), Sentiq(tmp_path / "s")
    pipelined = Pipelined(tmp_path / "p")
    try:
        assert bench.judged(baseline, theirs, None) == {"checked": 50, "wrong": 0}
        assert bench.judged(sentiq, ours, None) == {"checked": 50, "wrong": 0}
        sure = sum(margin > 0.2 for _, margin in truth)
        assert 0 < sure < 50
        assert bench.judged(pipelined, theirs, None) == {"checked": 50, "wrong": sure}
        raw.meaning = None
        assert bench.judged(baseline, theirs, None) == {"checked": 0, "wrong": 0}
        assert bench.judged(sentiq, ours, None) == {"checked": 50, "wrong": 0}
    finally:
        for each in (bench, baseline, sentiq, pipelined):
            each.close()


def models_engine() -> Any:
    """The embedded model in a process of its own."""
    from benchmarks.bench.raw import RawEngine

    return RawEngine()


def test_the_engine_of_the_pipeline_is_set(tmp_path: Path) -> None:
    """Sentiq with the pipeline is Sentiq with the same settings and `ENGINE=pipeline`."""
    compiled, pipelined = Sentiq(tmp_path / "s", MODEL_NAME="some"), Pipelined(tmp_path / "p", MODEL_NAME="some")
    different = {
        name for name in pipelined.environment() if pipelined.environment()[name] != compiled.environment().get(name)
    }
    assert different == {"ENGINE", "PORT", "DATA_DIR"}
    assert pipelined.environment()["ENGINE"] == "pipeline"
    for each in (compiled, pipelined):
        each.close()


@pytest.mark.parametrize("shape", list(Shape))
def test_tokenizers_of_known_sizes(shape: Shape) -> None:
    """A tokenizer gives no number that the model has no weights for, knows the words that it was made from, and puts a
    beginning and an end around a text.
    """
    config, plain, options = checkpoints.parts(shape, TEXTS, None)
    assert plain.get_vocab_size() <= config.vocab_size == checkpoints.SIZES[shape]
    found = plain.encode("the weekend was great")
    assert len(found.ids) == 6, found.tokens
    assert [found.tokens[0], found.tokens[-1]] == [options["cls_token"], options["sep_token"]]
    assert plain.token_to_id(options["pad_token"]) == config.pad_token_id
    assert plain.token_to_id(options["unk_token"]) not in plain.encode("the weekend was great").ids


def test_a_model_with_random_weights_is_a_model(tmp_path: Path) -> None:
    """The folder is one that the pipeline engine serves. Its answers depend on the text: commas and exclamation marks
    decide them.
    """
    checkpoints.make(Shape.distilbert, tmp_path, TEXTS, layers=1)
    engine = load_engine(str(tmp_path), engine="pipeline", device="cpu")
    scores = engine.score(TEXTS[:200]).probabilities
    assert (scores.argmax(1) == WANTED[:200]).mean() > 0.9
    assert 0.7 < scores.max(1).mean() < 0.99
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.model_max_length == 512
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {str(number): label for number, label in enumerate(LABELS)}


def test_a_model_is_measured_in_both_engines(tmp_path: Path) -> None:
    """Times, rates and memory of the embedded model by torch and compiled, which it is before its first start."""
    found = models.measure(DEFAULT, itertools.cycle(TEXTS), tmp_path, threads=1, rounds=2, seconds=0.1)
    for each in found.values():
        assert len(each.starts_s) == 1
        assert len(each.single_ms) == len(each.texts_per_s) == 2
        assert min(each.single_ms + each.texts_per_s + each.starts_s) > 0
    assert found["compiled"].memory_mb < found["pipeline"].memory_mb
    torch, compiled = models.rows("embedded", found)
    assert [torch[4], torch[6], compiled[5]] == ["1.0", "", ""]
    assert float(compiled[4]) > 0
    assert len(torch) == len(compiled) == len(models.HEADS)
