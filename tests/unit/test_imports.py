"""The layers: imports point down, and a web process stays light."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {"webapp": 2, "tasks": 1, "model": 0}
WINGS = {"tasks.submit": {"webapp", "tasks.submit"}, "tasks.work": {"tasks.work", "tasks.worker"}}
"""The packages that only one kind of process uses, and which packages may import them."""
COMPOSITION_ROOTS = {
    "webapp.wsgi",
    "webapp.launch.commands",
    "webapp.launch.launcher",
    "webapp.server.__main__",
    "webapp.server.gunicorn_conf",
    "tasks.app",
    "tasks.worker",
    "model.training.__main__",
}
STARTED_BY = {
    "webapp.client.cli": {"webapp.launch.commands"},
    "webapp.launch.commands": {"webapp.launch.launcher", "tasks.worker"},
}
"""What command lines start: they may import it, inside a function."""
READING = (
    "webapp.reading",
    "webapp.reading.encodings",
    "webapp.reading.guess",
    "webapp.reading.lines",
    "webapp.reading.refusals",
)
CLIENT = ("webapp", "webapp.client", "tasks", *READING, "tasks.keys", "tasks.errors", "tasks.wording")
"""The modules that a client's machine uses; they may import nothing of Sentiq but each other."""
IF_THERE = {"webapp.client.frames": {"pandas"}, "webapp.client.shares": {"pandas"}}
"""Packages that a client need not have: a function imports them and says what to install."""
HEAVY = ("torch", "transformers", "openvino", "tokenizers", "numpy", "scipy", "onnxruntime", "eldc")


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of Sentiq, by its dotted name."""
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imported(name: str, path: Path, *, at_its_top: bool = False) -> set[str]:
    """Everything that a module imports, at its top or inside a function, as full names (`from a import b` is a and
    a.b).
    """
    names: set[str] = set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    tree = ast.parse(path.read_text())
    for node in tree.body if at_its_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) - node.level + 1], node.module or ""]).strip(".")
                if node.level
                else node.module or ""
            )
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


MODULES = dict(modules())


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    """No module imports from a layer above its own, and none from the tests or the benchmarks."""
    floor = FLOORS[name.split(".")[0]]
    above = [other for other, level in FLOORS.items() if level > floor]
    wrong = {found for found in imported(name, MODULES[name]) if found.split(".")[0] in [*above, "tests", "benchmarks"]}
    assert not wrong


def within(name: str, package: str) -> bool:
    """Whether a dotted name is the package or something in it."""
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("name", MODULES)
def test_wings_stand_apart(name: str) -> None:
    """`tasks.submit` and `tasks.work` never import each other, and the packages below both import neither."""
    for wing, importers in WINGS.items():
        if not any(within(name, importer) for importer in importers):
            assert not {found for found in imported(name, MODULES[name]) if within(found, wing)}


def test_policy_is_ground() -> None:
    """`celeryconfig` imports nothing of Sentiq."""
    names = imported("celeryconfig", ROOT / "celeryconfig.py")
    assert not {name for name in names if name.split(".")[0] in FLOORS}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_a_composition_root(name: str) -> None:
    """The modules that put a process together are run, not imported; only a command imports what it starts, inside a
    function.
    """
    assert not imported(name, MODULES[name]) & COMPOSITION_ROOTS - STARTED_BY.get(name, set())
    assert not imported(name, MODULES[name], at_its_top=True) & COMPOSITION_ROOTS


def test_the_client_imports_little() -> None:
    """`webapp.client` and the command line import nothing of Sentiq but themselves, keys, statuses and wording, and
    no other packages than those of the base installation. The commands that run a service may, inside a function.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {re.match(r"[\w-]+", line)[0].lower().replace("-", "_") for line in project["dependencies"]}  # type: ignore[index]
    for name, path in MODULES.items():
        if not name.startswith("webapp.client") and name not in CLIENT:
            continue
        for found in imported(name, path) - STARTED_BY.get(name, set()):
            if found.split(".")[0] in FLOORS:
                assert found.startswith(("webapp.client", *CLIENT[-3:], *READING, *STARTED_BY.get(name, set()))), name
            else:
                assert found.split(".")[0] in sys.stdlib_module_names | base | IF_THERE.get(name, set()), name


def test_the_front_knows_no_endpoint() -> None:
    """The front, which serves every request, imports no endpoint."""
    for name, path in MODULES.items():
        if name.startswith("webapp.front"):
            assert not {found for found in imported(name, path) if found.startswith("webapp.api")}, name


MAKERS = {
    "tasks.store.connections.connect": {
        "webapp.compose",
        "tasks.work.compose",
        "tasks.probe",
        "tasks.store.backup",
        "tasks.store.embedded",
    },
    "tasks.queue.app.create_celery": {"webapp.compose", "tasks.work.compose", "tasks.app"},
}
"""What makes clients, and who may import it."""


@pytest.mark.parametrize("maker", MAKERS)
def test_parts_are_handed_what_they_need(maker: str) -> None:
    """Nothing makes its own clients of Redis or Celery: what composes a process does, and a program that has only one
    question.
    """
    assert {name for name, path in MODULES.items() if maker in imported(name, path)} == MAKERS[maker]


@pytest.mark.parametrize("wing", WINGS)
def test_services_know_no_settings(wing: str) -> None:
    """What submits and what works gets plain values, but for what composes a worker."""
    readers = {
        name for name, path in MODULES.items() if within(name, wing) and "tasks.settings" in imported(name, path)
    }
    assert readers <= {"tasks.work.compose"}


def test_one_place_composes_a_process() -> None:
    """`webapp.compose` is only imported by `webapp.wsgi`, and `tasks.work.compose` by `tasks.worker`, once that has
    pinned the device.
    """
    for composes, starts in (("webapp.compose", "webapp.wsgi"), ("tasks.work.compose", "tasks.worker")):
        assert [name for name, path in MODULES.items() if composes in imported(name, path)] == [starts]


def test_worker_begins_light() -> None:
    """Importing a worker's entry module loads nothing that must be loaded after the device is pinned and metrics are
    set up.
    """
    code = (
        f"import sys, tasks.worker; print([n for n in {(*HEAVY, 'celery', 'prometheus_client')!r} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180, check=True
    )
    assert ast.literal_eval(done.stdout) == []


def test_no_circles() -> None:
    """There are no import circles, also within a layer."""
    edges = {
        name: {found for found in imported(name, path) if found in MODULES and found != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def test_the_model_knows_no_queue() -> None:
    """`model` reads no settings, no environment and no queue."""
    for name, path in MODULES.items():
        if name.startswith("model.") and not name.startswith("model.training"):
            assert not {"celery", "redis", "kombu", "flask", "pydantic_settings"} & {
                found.split(".")[0] for found in imported(name, path)
            }
            assert "environ" not in path.read_text(), name


def test_only_the_model_imports_what_sends_usage_data() -> None:
    """OpenVINO and NNCF are imported by modules of `model` alone, which come after `model.patches.usage_data`."""
    for name, path in MODULES.items():
        if not name.startswith("model."):
            assert not {"openvino", "nncf"} & {found.split(".")[0] for found in imported(name, path)}, name


def test_never_pickle() -> None:
    """No module unpickles, or lets a model run code that comes with it."""
    for name, path in MODULES.items():
        assert not {"pickle", "marshal", "shelve", "dill"} & imported(name, path), name
        assert "trust_remote_code=True" not in path.read_text(), name


def in_a_web_process(code: str) -> list[str]:
    """The lines that the code prints when it runs in a process of its own, while Redis is away."""
    environment = os.environ | {"REDIS_URL": "unix:///nowhere/valkey.sock", "PYTHONPATH": str(ROOT)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_web_process_is_light() -> None:
    """Importing the web application loads no inference library, and takes less than 100 MB."""
    code = f"""
import sys, webapp.wsgi
print([name for name in {HEAVY!r} if name in sys.modules])
print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')] or ['0'])
"""
    loaded, rss_kb = in_a_web_process(code)[-2:]
    assert ast.literal_eval(loaded) == []
    assert int(ast.literal_eval(rss_kb)[0]) < 100_000


def test_web_starts_without_redis() -> None:
    """The web application can be imported while Redis is away: its callers get errors, but it starts."""
    code = "import webapp.wsgi; client = webapp.wsgi.app.test_client(); print(client.get('/health/ready').status_code)"
    assert in_a_web_process(code)[-1:] == ["503"]
