"""The image for GPUs without one. It is not built here: torch with CUDA is gigabytes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from tests.support.stack import Stack
from tests.unit.deploy.test_containers import command_of, start_as_image


def test_worker_gpu_on_processors(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """With DEVICE=cpu, and only the files and packages of its image, a worker of `worker-gpu` runs the embedded model
    by torch.
    """
    stack = make_stack(model="default", WEB_CONCURRENCY=1, DEVICE="cpu")
    stack.start_server()
    worker = start_as_image(stack, "worker-gpu", tmp_path, command_of("worker-gpu", "CMD")[1:])
    stack.workers.append(worker)
    stack.wait_for_worker(worker)
    stack.start_web()
    answer = stack.predict(f"I love this {uuid.uuid4().hex}")
    assert (answer.status_code, answer.json()["label"]) == (200, "POSITIVE"), worker.log
    assert answer.json()["model"].endswith("/pipeline"), answer.json()["model"]
