"""Loops in the background: they survive every error, log and count it, and can be watched."""

from __future__ import annotations

import ast
import itertools
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import REGISTRY

from tasks.background import Loop, aside
from tasks.metrics import LOOPS
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

SECRET = "a secret of mine"


class Away(Exception):
    """An expected error, which is no defect."""


class Killed(BaseException):
    """An error that a loop does not catch."""


class Steps:
    """A step that raises the given errors one after the other, and counts its calls."""

    def __init__(self, *errors: BaseException | None) -> None:
        self._errors = list(errors)
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self._errors and (error := self._errors.pop(0)) is not None:
            raise error


MakeLoop = Callable[..., Loop]


@pytest.fixture
def make_loop() -> Iterator[MakeLoop]:
    """Makes loops that end with the test."""
    stop = threading.Event()

    def make(step: Callable[[], object], **options: object) -> Loop:
        return Loop("leases", step, **{"stop": stop, "period_s": 0.001, "expected": (Away,)} | options)  # type: ignore[arg-type]

    yield make
    stop.set()


def counted(kind: str) -> float:
    """The number of errors of the test's loops so far, by kind."""
    return REGISTRY.get_sample_value("sentiment_background_errors_total", {"loop": "leases", "kind": kind}) or 0.0


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(), Away(), MemoryError(), SystemExit(1)], ids=repr)
def test_outlives_every_error(make_loop: MakeLoop, error: BaseException) -> None:
    """After a step that raised any error, the next step runs on the same thread."""
    steps = Steps(error, error)
    loop = make_loop(steps)
    loop.start()
    wait_until(lambda: steps.count > 3, what="steps after the error")
    assert not loop.gone


def test_errors_are_told(make_loop: MakeLoop, caplog: pytest.LogCaptureFixture) -> None:
    """A defect is logged as an error with its frames, an expected error as a warning; no message is quoted.

    Of many in a row, the first, second and fourth are logged, and that they are over.
    """
    steps = Steps(*[ValueError(SECRET)] * 5, None, Away(SECRET))
    with caplog.at_level(logging.INFO):
        make_loop(steps).start()
        wait_until(lambda: steps.count > 8, what="all steps")
    ours = [record for record in caplog.records if "leases" in record.getMessage()]
    assert [(record.levelname, record.getMessage(), bool(record.exc_info)) for record in ours] == [
        ("ERROR", "the loop leases failed: ValueError", True),
        ("ERROR", "the loop leases failed, 2 times in a row: ValueError", True),
        ("ERROR", "the loop leases failed, 4 times in a row: ValueError", True),
        ("INFO", "the loop leases goes on after 5 errors", False),
        ("WARNING", "the loop leases failed: Away", False),
        ("INFO", "the loop leases goes on after 1 errors", False),
    ]


def test_errors_are_counted(make_loop: MakeLoop) -> None:
    """Every error is counted by loop and kind."""
    before = counted("defect"), counted("expected")
    steps = Steps(ValueError(), KeyError(), Away())
    make_loop(steps).start()
    wait_until(lambda: steps.count > 3, what="all steps")
    assert (counted("defect"), counted("expected")) == (before[0] + 2, before[1] + 1)


def test_errors_that_cannot_be_told(make_loop: MakeLoop) -> None:
    """An error whose own text raises does not end the loop."""

    class Broken(OSError):
        def __str__(self) -> str:
            raise RuntimeError

    steps = Steps(Broken())
    make_loop(steps).start()
    wait_until(lambda: steps.count > 1, what="a step after the error")


def test_pauses_grow(make_loop: MakeLoop) -> None:
    """A loop without a period does not spin while it fails: its pauses grow from 0.1 s to 0.5 s."""
    times: list[float] = []

    def fail() -> None:
        times.append(time.monotonic())
        raise Away

    make_loop(fail, period_s=0.0).start()
    wait_until(lambda: len(times) >= 6, what="six failures")
    pauses = [after - before for before, after in itertools.pairwise(times)]
    for pause, expected in zip(pauses, (0.1, 0.2, 0.4, 0.5, 0.5), strict=False):
        assert pause >= expected - 0.01


def test_stops(make_loop: MakeLoop) -> None:
    """A loop that is stopped makes no further step, runs `at_end`, and does not count as gone."""
    stop, at_end = threading.Event(), Steps(ValueError())
    steps = Steps()
    loop = make_loop(steps, stop=stop, at_end=at_end, period_s=60.0)
    loop.start()
    wait_until(lambda: steps.count == 1, what="the first step")
    stop.set()
    wait_until(lambda: at_end.count == 1, what="the end")
    assert steps.count == 1
    assert not loop.gone


def test_what_it_needs_may_end_before_it(make_loop: MakeLoop, caplog: pytest.LogCaptureFixture) -> None:
    """An expected error of a loop that was told to end is not told; a defect is."""
    before = counted("defect"), counted("expected")
    for error in (Away(), ValueError()):
        going, stopped = threading.Event(), threading.Event()

        def step(error: Exception = error, going: threading.Event = going, stopped: threading.Event = stopped) -> None:
            going.set()
            stopped.wait(10)
            raise error

        loop = make_loop(step, stop=None, at_end=(ended := threading.Event()).set)
        loop.start()
        assert going.wait(10)
        loop.stop()
        assert loop.stopped
        stopped.set()
        assert ended.wait(10)
        assert not loop.gone
    assert (counted("defect"), counted("expected")) == (before[0] + 1, before[1])
    assert [record.getMessage() for record in caplog.records] == ["the loop leases failed: ValueError"]


def test_starts_once(make_loop: MakeLoop) -> None:
    """A loop that is started several times at once has one thread."""
    names = [f"starter {number}" for number in range(20)]
    at_once = threading.Barrier(len(names))
    loop = make_loop(Steps())
    before = {thread.ident for thread in threading.enumerate()}

    def start() -> None:
        at_once.wait()
        loop.start()

    starters = [threading.Thread(target=start, name=name) for name in names]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert [thread.ident for thread in threading.enumerate() if thread.ident not in before] == [loop.thread]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_gone_and_started_again(make_loop: MakeLoop) -> None:
    """A loop whose thread has ended counts as gone, and can be started again."""
    steps = Steps(Killed())
    loop = make_loop(steps)
    assert not loop.gone  # not started yet
    loop.start()
    wait_until(lambda: loop.gone, what="the thread to be gone")
    loop.start()
    wait_until(lambda: steps.count > 1, what="a further step")
    assert not loop.gone


def test_comes_round(make_loop: MakeLoop) -> None:
    """Each round resets the watchdog's count and shows in the metrics; a long step can call `comes_round` itself."""
    go = threading.Semaphore(0)
    loop = make_loop(go.acquire)
    began = time.time()
    loop.start()
    loop.looks = 100
    go.release()
    wait_until(lambda: loop.looks == 0, what="the loop to come round")
    loop.looks = 100
    loop.comes_round()
    assert loop.looks == 0
    labels = {"loop": "leases"}
    at = REGISTRY.get_sample_value("sentiment_background_round_timestamp_seconds", labels)
    assert at is not None
    assert at >= began
    go.release(1000)


_UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent, threading
from tasks.background import Loop, aside
stop, steps = threading.Event(), []
def step():
    steps.append(threading.current_thread().name)
    if len(steps) == 1:
        raise ValueError
    if len(steps) == 3:
        stop.set()
loop = Loop("replies", step, stop=stop)
loop.start()
with gevent.Timeout(20):
    stop.wait()
    print(steps, aside("look-up", lambda: 7).result(5))
"""


def test_under_gevent() -> None:
    """Loops also work where gevent has patched threading."""
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_GEVENT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "['replies', 'replies', 'replies'] 7", done.stderr


def test_needs_the_standard_library_alone() -> None:
    """Loops import the standard library only.

    They also run in other environments (Flower's), and in Gunicorn's master, which must not load what its workers load.
    """
    code = "import sys; before = set(sys.modules); import tasks.parent; print(set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.partition(".")[0] for name in ast.literal_eval(done.stdout)}
    assert loaded <= {*sys.stdlib_module_names, "tasks"}
    assert "prometheus_client" not in loaded


def test_names_are_declared() -> None:
    """The name of each loop is declared, so that its series exist from the start."""
    found = {
        name
        for path in (ROOT / "tasks").rglob("*.py")
        for name in re.findall(r'\bLoop\(\s*"([^"]*)"', path.read_text())
    }
    assert found == set(LOOPS)


def test_aside() -> None:
    """The future of a function that runs aside has its result or any error that it raised."""
    assert aside("look-up", lambda: 7).result(10) == 7
    with pytest.raises(UnicodeError):
        aside("look-up", lambda: "\ud800".encode()).result(10)
    with pytest.raises(Killed):
        aside("look-up", Steps(Killed())).result(10)
