"""Workers that die, crash or are slow: their chunks are taken over, and a text that kills workers fails alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.stack import Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until


def begun(stack: Stack) -> bool:
    """Whether a worker has begun a chunk and not finished it."""
    return next(stack.redis.scan_iter("sentiq:a:*"), None) is not None


def test_killed_in_the_middle_of_a_chunk(make_stack: Callable[..., Stack]) -> None:
    """A chunk whose worker is killed is taken over by another within seconds; the job ends complete, and each line
    counts once.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    texts = new_texts(60)
    job = stack.submit(texts)
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    stack.workers[0].kill()
    stack.start_worker("batch")
    job = stack.ended(job, timeout_s=20)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 60, 0)
    assert [item["text"] for item in stack.items(job)] == texts


def test_caller_survives_a_killed_worker(make_stack: Callable[..., Stack]) -> None:
    """If the worker with a caller's text is killed, the caller gets the answer from another worker."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=1").start()
    stack.start_worker("interactive", visibility_s=2)
    (text,) = new_texts(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stack.predict, text, prefer="wait=40")
        wait_until(lambda: begun(stack), what="the worker to begin the chunk")
        stack.workers[0].kill()
        stack.start_worker("interactive", visibility_s=2)
        answer = waiting.result()
    assert answer.status_code == 200
    assert answer.json()["text"] == text


def test_terminated_worker_ends_its_chunk(make_stack: Callable[..., Stack]) -> None:
    """On SIGTERM a worker finishes the chunk that it has begun and then ends; chunks that it has not begun go to
    another.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    job = stack.submit(new_texts(60))
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    worker = stack.workers[0]
    worker.terminate()
    assert worker.status == 0
    done = stack.http.get(job["links"]["self"]).json()["done"]
    assert done > 0
    assert stack.redis.zcard("unacked_index") == 0
    stack.start_worker("batch")
    assert stack.ended(job)["done"] == 60
    assert stack.texts_scored() == 60


def test_worker_refuses_to_start(make_stack: Callable[..., Stack]) -> None:
    """With a model that does not exist, or an invalid setting or role, a worker prints one line that says so and exits
    with a status other than 0.
    """
    stack = make_stack(model="stub?colour=red")
    cases = {
        ("-m", "tasks.worker", "batch"): "colour",
        ("-m", "tasks.worker", "nobody"): "usage: python -m tasks.worker interactive|batch",
        ("-m", "tasks.worker"): "usage: python -m tasks.worker interactive|batch",
    }
    processes = {stack.start_process("worker", *arguments): said for arguments, said in cases.items()}
    stack.environment["BATCH_SIZE"] = "many"
    processes[stack.start_process("worker", "-m", "tasks.worker", "batch")] = "BATCH_SIZE"
    for process, said in processes.items():
        wait_until(lambda process=process: not process.running, what="the worker to give up")  # type: ignore[misc]
        assert process.status != 0
        assert said in process.log
        assert "Traceback" not in process.log
