"""Workers on other hosts, as docs/deploy.md says: they reach compose's Redis by TLS from a network of their own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import redis

from tests.containers.engine import ADDRESS
from tests.containers.images import ROOT
from tests.containers.stack import ComposeStack, blocks, step

pytestmark = [pytest.mark.timeout(1200), pytest.mark.debian("openssl")]
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()
SECTION = DOCUMENT.split("### Workers on other hosts beside compose")[1].split("\n## ")[0].replace("10.0.0.5", ADDRESS)
OURS = ("worker-interactive", "worker-batch")


def documented(text: str, start: str) -> str:
    """The example of the document that begins so."""
    return next(block for block in blocks(text) if block.startswith(start))


@pytest.fixture(scope="module")
def published(stack: ComposeStack) -> Iterator[ComposeStack]:
    """The stack with the documented overlay; afterwards it runs without it."""
    before = (stack.clone / ".env").read_text()
    lines = documented(SECTION, "mkdir -p tls").splitlines(keepends=True)
    assert lines.pop() == "docker compose up -d --wait\n"
    subprocess.run(["bash", "-ec", "umask 077\n" + "".join(lines)], cwd=stack.clone, check=True, capture_output=True)
    stack.up()
    yield stack
    (stack.clone / ".env").write_text(before)
    stack.up()


def test_workers_elsewhere(published: ComposeStack) -> None:
    """Workers that `docker run` starts outside of compose's networks answer a text and a job when compose has none, and
    end in time.
    """
    stack = published
    with step("workers on another network, by TLS"):
        environment = documented(SECTION, "REDIS_URL=")
        for name in ("REDIS_CACHE_PASSWORD", "REDIS_BROKER_PASSWORD"):
            environment = environment.replace(name, stack.env(name))
        elsewhere = stack.clone.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "sentiq.env").write_text(environment)
        shutil.copyfile(stack.clone / "tls" / "server.pem", elsewhere / "server.pem")
        (elsewhere / "server.pem").chmod(0o644)
        stack.compose("stop", *OURS)
        command = documented(DOCUMENT, "docker run").strip()
        command = command.replace("--cpus 2", f"--cpus {stack.env('WORKER_CPUS')}")
        assert command.endswith(" batch")
        roles = ("interactive", "batch")
        for role in roles:
            named = command.replace("docker run", f"docker run --name elsewhere-{role}").removesuffix("batch") + role
            stack.engine.run("bash", "-ec", named, at=elsewhere)
        for role in roles:
            stack.wait_for(f"elsewhere-{role}")
            assert list(stack.inspect(f"elsewhere-{role}")["NetworkSettings"]["Networks"]) == ["bridge"]
        answer = stack.predict(f"I love that it works from there, {secrets.token_hex(4)}")
        assert (answer.status_code, answer.json()["label"]) == (200, "POSITIVE")
        job = stack.submit([f"I love line {line} of {secrets.token_hex(4)}" for line in range(200)])
        assert stack.ended(job)["status"] == "succeeded"
        assert {line["label"] for line in stack.lines(job)} == {"POSITIVE"}
        for role in roles:
            stack.engine.run("docker", "stop", f"elsewhere-{role}")
            found = stack.inspect(f"elsewhere-{role}")
            assert (found["Config"]["StopTimeout"], found["State"]["ExitCode"]) == (30, 0)
            stack.engine.run("docker", "rm", f"elsewhere-{role}")
        stack.compose("start", *OURS)
        for name in OURS:
            stack.wait_for(f"sentiq-{name}-1")


def test_nothing_but_tls(published: ComposeStack) -> None:
    """At the published address there is TLS with a certificate for it, for those with the password alone; and no port
    without TLS.
    """
    stack = published
    given = {"ssl": True, "ssl_ca_certs": str(stack.clone / "tls" / "server.pem"), "socket_timeout": 5}
    with stack.engine.network():
        for port, name in ((6380, "REDIS_CACHE_PASSWORD"), (6381, "REDIS_BROKER_PASSWORD")):
            password = stack.env(name)
            assert redis.Redis(ADDRESS, port, password=password, **given).ping()  # type: ignore[arg-type]
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(ADDRESS, port, **given).ping()  # type: ignore[arg-type]
            with pytest.raises(redis.ConnectionError):
                redis.Redis(ADDRESS, port, password=password, socket_timeout=5).ping()
        with pytest.raises(redis.ConnectionError, match="refused"):
            redis.Redis(ADDRESS, 6379).ping()
