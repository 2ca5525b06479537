"""The client with a running service, and with one that restarts or whose connections break."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.stack import Stack
from tests.support.texts import labels, new_texts
from webapp.client import AsyncSentiq, Job, JobNotFound, Sentiq, SentiqError, WaitTimeout


@pytest.fixture
def sentiq(service: Stack) -> Iterator[Sentiq]:
    """A client of the shared service."""
    with Sentiq(f"http://127.0.0.1:{service.port}") as client:
        yield client


class CuttingProxy:
    """A proxy between client and service that ends its first connections after so many bytes of answers."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        """`cuts`: the bytes for each of the first connections; later ones are not cut."""
        self._to, self._cuts = port, cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            cut = self._cuts[self.connections] if self.connections < len(self._cuts) else None
            self.connections += 1
            service = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pump, args=(client, service, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(service, client, cut), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, cut: int | None) -> None:
        passed = 0
        try:
            while part := source.recv(65536):
                sink.sendall(part if cut is None else part[: cut - passed])
                passed += len(part)
                if cut is not None and passed >= cut:
                    break
        except OSError:
            pass  # the other direction has been cut
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other end closed it first
            end.close()

    def close(self) -> None:
        """Stops accepting connections."""
        self._listener.close()


@contextmanager
def cut_off(service: Stack, *cuts: int) -> Iterator[tuple[Sentiq, CuttingProxy]]:
    """A client whose first connections break after so many bytes of answers."""
    proxy = CuttingProxy(service.port, list(cuts))
    with Sentiq(proxy.url) as client:
        yield client, proxy
    proxy.close()


# One text


def test_predict(sentiq: Sentiq) -> None:
    """A prediction is the engine's, fresh the first time and cached the second."""
    (text,) = new_texts(1)
    first, second = sentiq.predict(text), sentiq.predict(text)
    assert [first.label] == labels([text])
    assert (first.cached, second.cached) == (False, True)
    assert (first.text, first.scores, first.model) == (text, second.scores, second.model)
    assert first.scores is not None
    assert first.confidence == max(first.scores.values())
    assert first.processing_time_ms is not None


def test_predict_refused(sentiq: Sentiq) -> None:
    """A text that cannot be scored raises an error with the service's code and the request's id."""
    with pytest.raises(SentiqError) as caught:
        sentiq.predict("  ")
    assert (caught.value.code, caught.value.status) == ("empty_text", 422)
    assert caught.value.request_id


def test_half_an_emoji(sentiq: Sentiq) -> None:
    """A text with half an emoji is scored, alone and in a job."""
    assert sentiq.predict("good \ud83d").text == "good \ufffd"
    assert [line.text for line in sentiq.results(sentiq.wait(sentiq.submit(["good \ud83d"])))] == ["good \ufffd"]


def test_predict_by_way_of_a_job(make_stack: Callable[..., Stack]) -> None:
    """If the service takes longer than PREDICT_TIMEOUT, the prediction still comes, and so does a text's error."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.5&fail_on=poison", PREDICT_TIMEOUT=0.05)
    stack.start("interactive", "batch")
    with Sentiq(f"http://127.0.0.1:{stack.port}") as client:
        (text,) = new_texts(1)
        prediction = client.predict(text)
        assert prediction.processing_time_ms is None
        assert ([prediction.label], prediction.text) == (labels([text]), text)
        with pytest.raises(SentiqError) as caught:
            client.predict(f"poison {uuid.uuid4().hex}")
        assert caught.value.code == "text_failed"


# Jobs


def test_texts_to_lines(sentiq: Sentiq) -> None:
    """Texts of any iterable become lines in the same order, each with its own answer."""
    texts = [*new_texts(700), "", f"poison {uuid.uuid4().hex}"]
    job = sentiq.wait(sentiq.submit(text for text in texts))
    assert (job.status, job.total, job.done, job.failed) == ("succeeded", 702, 702, 2)
    lines = list(sentiq.results(job))
    assert [line.position for line in lines] == list(range(702))
    assert [line.text for line in lines] == texts
    assert [line.label for line in lines[:700]] == labels(texts[:700])
    assert [line.error for line in lines[700:]] == ["empty_text", "text_failed"]


def test_ids(sentiq: Sentiq) -> None:
    """Ids that were sent with texts come back."""
    job = sentiq.wait(sentiq.submit([{"id": 7, "text": "good"}, {"id": "b", "text": "bad"}]))
    assert [(line.id, line.text) for line in sentiq.results(job.id)] == [(7, "good"), ("b", "bad")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", [".csv", ".ndjson", ".jsonl", ".txt", ".json"])
def test_files(sentiq: Sentiq, tmp_path: Path, ending: str, packed: bool) -> None:
    """A file of each type becomes a job with its texts, compressed or not."""
    texts = new_texts(3)
    content = {
        ".csv": "n,comment\r\n" + "".join(f'{n},"{text}"\r\n' for n, text in enumerate(texts)),
        ".txt": "".join(f"{text}\n" for text in texts),
        ".json": json.dumps({"texts": texts}),
    }.get(ending, "".join(f"{json.dumps({'text': text})}\n" for text in texts))
    path = tmp_path / f"in{ending}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    lines = list(sentiq.results(sentiq.wait(sentiq.submit(path, column="comment" if ending == ".csv" else None))))
    assert [line.text for line in lines] == texts
    assert [line.label for line in lines] == labels(texts)
    if ending == ".csv":
        assert [line.columns for line in lines] == [{"n": str(n)} for n in range(3)]


def test_bad_line(sentiq: Sentiq, tmp_path: Path) -> None:
    """The error for a file names the bad line."""
    path = tmp_path / "in.ndjson"
    path.write_text('"good"\n"bad"\nnot JSON\n')
    with pytest.raises(SentiqError) as caught:
        sentiq.submit(path)
    assert (caught.value.code, caught.value.line) == ("malformed_line", 3)


def test_large_bad_file(sentiq: Sentiq, tmp_path: Path) -> None:
    """If a file is refused while most of it is still to be sent, the caller gets the reason."""
    path = tmp_path / "in.ndjson"
    path.write_text("not JSON\n" + '"good"\n' * 400_000)
    with pytest.raises(SentiqError) as caught:
        sentiq.submit(path)
    assert (caught.value.code, caught.value.line) == ("malformed_line", 1)


def test_listing_and_cancelling(sentiq: Sentiq) -> None:
    """A cancelled job is listed as such, its lines that were not done are cancelled, and cancelling it again changes
    nothing.
    """
    job = sentiq.submit(new_texts(2000))
    assert job.id in {listed.id for listed in sentiq.jobs()}
    sentiq.cancel(job)
    ended = sentiq.wait(job, timeout_s=30)
    assert ended.status == "cancelled"
    assert ended.done < 2000
    assert sentiq.cancel(job.id).status == "cancelled"
    assert {line.status for line in sentiq.results(job)} <= {"done", "cancelled"}
    listed = list(sentiq.jobs("cancelled"))
    assert job.id in {found.id for found in listed}
    assert {found.status for found in listed} == {"cancelled"}
    assert job.id not in {found.id for found in sentiq.jobs("running")}


def test_unknown_job(sentiq: Sentiq) -> None:
    """Every method raises JobNotFound for an unknown job."""
    for ask in (sentiq.job, sentiq.cancel, sentiq.wait, lambda job: next(sentiq.results(job))):
        with pytest.raises(JobNotFound):
            ask(uuid.uuid4().hex)


def test_wait(sentiq: Sentiq) -> None:
    """Progress is reported until the end and never goes back; a wait that is too short raises WaitTimeout, and the job
    goes on.
    """
    job = sentiq.submit(new_texts(800))
    with pytest.raises(WaitTimeout) as caught:
        sentiq.wait(job, timeout_s=0)
    assert caught.value.job.id == job.id
    seen: list[Job] = []
    ended = sentiq.wait(job, on_progress=seen.append)
    assert ended == seen[-1]
    assert [now.done for now in seen] == sorted(now.done for now in seen)
    assert len(seen) > 1
    assert ended.done == ended.total == 800


def test_downloads(sentiq: Sentiq, tmp_path: Path) -> None:
    """The three formats have the same lines."""
    texts = ["good, very good", "bad\nnews", "plain \u2028 text", ""]
    job = sentiq.wait(sentiq.submit(texts))
    sentiq.download(job, tmp_path / "out.csv")
    sentiq.download(job, tmp_path / "out.ndjson", "ndjson")
    whole = io.BytesIO()
    sentiq.download(job, whole, "json")
    lines = json.loads(whole.getvalue())
    assert [line["text"] for line in lines] == texts
    assert [json.loads(line) for line in (tmp_path / "out.ndjson").read_bytes().splitlines()] == lines
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == texts
    assert [row["label"] for row in rows] == [line.get("label", "") for line in lines]


def test_cells_in_downloads(sentiq: Sentiq, tmp_path: Path) -> None:
    """A CSV download has no formulas, unless it is to be raw."""
    job = sentiq.wait(sentiq.submit(["=1+1", "good"]))
    for raw, cell in ((False, "'=1+1"), (True, "=1+1")):
        sentiq.download(job, tmp_path / "out.csv", raw=raw)
        with (tmp_path / "out.csv").open(newline="") as file:
            assert [row["text"] for row in csv.DictReader(file)] == [cell, "good"]


def test_removed_job(sentiq: Sentiq) -> None:
    """A job that has ended can be removed, once."""
    job = sentiq.wait(sentiq.submit(["good"]))
    sentiq.remove(job)
    for gone in (sentiq.remove, sentiq.job):
        with pytest.raises(JobNotFound):
            gone(job)


# Trouble


def test_results_over_broken_connections(service: Stack, sentiq: Sentiq) -> None:
    """Results whose connection breaks again and again are complete, with each line once."""
    texts = new_texts(600)
    job = sentiq.wait(sentiq.submit(texts))
    # The first connection is for the job itself.
    with cut_off(service, 100, 0, 3000, 5000, 40, 9000) as (client, proxy):
        assert [line.text for line in client.results(job)] == texts
    assert proxy.connections > 6


def test_lost_answer_makes_no_second_job(service: Stack) -> None:
    """If the answer to an upload is lost, sending it again gives the job that the first one created."""
    texts = new_texts(50)
    with cut_off(service, 0) as (client, proxy):
        before = {job.id for job in Sentiq(f"http://127.0.0.1:{service.port}").jobs()}
        job = client.submit(texts)
        assert proxy.connections == 2
        assert {listed.id for listed in client.jobs()} - before == {job.id}
        assert [line.text for line in client.results(client.wait(job))] == texts


def test_wait_over_a_restart(make_stack: Callable[..., Stack]) -> None:
    """Waiting goes on through a restart of the web and of Redis, and ends with the job."""
    stack = make_stack(WEB_CONCURRENCY=1).start("batch")
    with Sentiq(f"http://127.0.0.1:{stack.port}") as client:
        job = client.submit(new_texts(1500))
        progress = threading.Event()
        ended: list[Job] = []
        waiting = threading.Thread(target=lambda: ended.append(client.wait(job, on_progress=lambda _: progress.set())))
        waiting.start()
        assert progress.wait(30)
        assert stack.web is not None
        assert stack.server is not None
        stack.web.kill()
        stack.server.terminate()
        stack.start_server()
        stack.start_web()
        waiting.join(90)
        assert [(job.status, job.done) for job in ended] == [("succeeded", 1500)]


# Asynchronously


def test_async_client(service: Stack, tmp_path: Path) -> None:
    """Asynchronous calls of one client run at the same time: texts, and a job from a file to its results."""
    texts = new_texts(300)
    (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts))

    async def score_file(sentiq: AsyncSentiq) -> list[str | None]:
        job = await sentiq.wait(await sentiq.submit(tmp_path / "in.txt"))
        await sentiq.download(job, tmp_path / "out.csv")
        assert job.id in [listed.id async for listed in sentiq.jobs("succeeded")]
        found: list[str | None] = [line.label async for line in sentiq.results(job)]
        await sentiq.remove(job)
        return found

    async def ask() -> tuple[list[str | None], list[str | None]]:
        async with AsyncSentiq(f"http://127.0.0.1:{service.port}") as sentiq:
            asked = asyncio.gather(*map(sentiq.predict, texts[:20]))
            of_file = await score_file(sentiq)
            return [prediction.label for prediction in await asked], of_file

    assert asyncio.run(ask()) == (labels(texts[:20]), labels(texts))
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == labels(texts)
