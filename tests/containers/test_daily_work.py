"""What docs/deploy.md says of daily work with compose, with its own commands: alerts that reach somebody, backup and
restore, and an update behind a proxy that nobody notices.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.containers.images import ROOT
from tests.containers.stack import ComposeStack, blocks, note, step
from tests.support.everybody import Everybody
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()
RECEIVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
"""Prints each body that it is sent, a line each."""


@pytest.fixture
def env(stack: ComposeStack) -> Iterator[ComposeStack]:
    """The stack; what a test writes to .env is undone afterwards, and it runs as before."""
    before = (stack.clone / ".env").read_text()
    yield stack
    (stack.clone / ".env").write_text(before)
    stack.up("--remove-orphans")


def section(title: str) -> str:
    """A section of the document."""
    return DOCUMENT.split(f"# {title}\n")[1].split("\n## ")[0].split("\n### ")[0]


def test_alerts(env: ComposeStack) -> None:
    """With the profile `alerts` Prometheus finds Alertmanager, and what fires reaches the webhook; the documented
    command makes it silent.
    """
    with step("Alertmanager: a page reaches a webhook"):
        receiver = ("--network", "sentiq_outside", "--network-alias", "hook", "--entrypoint", "python", "sentiq-web")
        env.engine.run("docker", "run", "--detach", "--name", "hook", *receiver, "-c", RECEIVER)
        try:
            env.set_env(COMPOSE_PROFILES="alerts", ALERT_WEBHOOK_URL="http://hook:8080/")
            env.up()
            wait_until(
                lambda: len(env.prometheus("alertmanagers")["activeAlertmanagers"]) == 1,
                what="Prometheus to find Alertmanager",
                timeout_s=60,
            )
            tool = ("exec", "-T", "alertmanager", "amtool", "--alertmanager.url=http://127.0.0.1:9093")
            env.compose(*tool, "alert", "add", "alertname=Tried", "severity=page")
            (told,) = wait_until(lambda: _told(env), what="the page", timeout_s=30)
            assert told["receiver"] == "page"
            assert [alert["labels"]["alertname"] for alert in told["alerts"]] == ["Tried"]
            (silence,) = (line for line in section("Alerts").splitlines() if "silence add" in line)
            said = silence.split("silence add ")[1].split("`")[0]
            env.compose(*tool, "silence", "add", *said.split())
            assert "SentiqQueueOld" in env.compose(*tool, "silence", "query")
        finally:
            env.engine.run("docker", "rm", "--force", "hook")


def _told(stack: ComposeStack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stack.engine.run("docker", "logs", "hook").split("\n") if line]


def test_backup_and_restore(stack: ComposeStack) -> None:
    """The documented commands write a backup while all runs, and put it back: jobs are as they were then. One that is
    damaged changes nothing. On a host that has no data yet, the last two commands are enough.
    """
    backup, restore = blocks(section("Backup and restore in compose"))
    with step("backup and restore"):
        kept = stack.submit([f"kept {line} {secrets.token_hex(4)}" for line in range(300)])
        stack.ended(kept)
        before = stack.lines(kept)
        stack.engine.run("bash", "-ec", backup, at=stack.clone)
        later = stack.submit(["this one is not in it"])
        stack.ended(later)
        assert stack.request("DELETE", f"/jobs/{kept}", params={"purge": 1}).status_code == 204
        whole = (stack.clone / "sentiq.rdb").read_bytes()
        (stack.clone / "sentiq.rdb").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(AssertionError, match="RDB"):
            stack.engine.run("bash", "-ec", restore, at=stack.clone)
        stack.up()
        assert stack.job(later)["status"] == "succeeded"
        (stack.clone / "sentiq.rdb").write_bytes(whole)
        stack.engine.run("bash", "-ec", restore, at=stack.clone)
        assert stack.job(kept)["status"] == "succeeded"
        assert stack.lines(kept) == before
        assert stack.job(later)["status"] == "404"
        stack.compose("down")
        stack.engine.run("docker", "volume", "rm", "sentiq_broker")
        elsewhere = "".join(restore.splitlines(keepends=True)[1:])
        stack.engine.run("bash", "-ec", elsewhere, at=stack.clone)
        assert stack.lines(kept) == before
        after = stack.submit(["and on it goes"])
        stack.ended(after)


def test_an_update_behind_the_proxy(env: ComposeStack) -> None:
    """With the overlay, the documented update replaces all containers of Sentiq by those of another image while callers
    of all kinds are answered: none is refused or gets a 5xx, and nothing is lost. The documented rollback brings
    the images of before back.
    """
    plain, back = blocks(section("Update and rollback in compose"))
    overlay, *update = blocks(section("By compose, behind a proxy"))[0].splitlines()
    with step("two webs behind HAProxy"):
        env.engine.run("bash", "-ec", overlay, at=env.clone)
        assert {"sentiq-proxy-1", "sentiq-web-1", "sentiq-web-2-1"} < set(env.containers())
    everybody = Everybody(
        "http://127.0.0.1:8000", pause_s=0.1, key=env.key, place=env.engine.network, is_right=_has_a_label
    )
    try:
        with step("an update behind HAProxy, under load"):
            everybody.go_on()
            names = ("web-1", "web-2-1", "worker-interactive-1", "worker-batch-1")
            before = {name: env.inspect(f"sentiq-{name}")["Image"] for name in names}
            for command in plain.splitlines()[:2]:
                env.engine.run("bash", "-ec", command, at=env.clone)
            for package in ("webapp", "tasks"):
                with (env.clone / package / "__init__.py").open("a") as file:
                    file.write("# The next version.\n")
            for command in update:
                env.engine.run("bash", "-ec", command.removeprefix("git pull && "), at=env.clone)
                everybody.go_on()
                assert everybody.failures == {}, command
            assert not [name for name in names if env.inspect(f"sentiq-{name}")["Image"] == before[name]]
        everybody.stop()
        note(f"callers met {dict(everybody.met)}; {everybody.jobs} jobs")
        assert (everybody.failures, everybody.wrong) == ({}, [])
        assert (everybody.lost(), everybody.unheard) == (0, 0)
        assert everybody.jobs > 0
        with step("a rollback"):
            env.engine.run("bash", "-ec", back, at=env.clone)
            assert {name: env.inspect(f"sentiq-{name}")["Image"] for name in names} == before
            assert env.predict("And it goes on as before").status_code == 200
    finally:
        everybody.stop()


def _has_a_label(text: str, told: dict[str, Any]) -> bool:
    """Whether this is a model's answer; which one is not what is tested here."""
    return told.get("label") in ("POSITIVE", "NEUTRAL", "NEGATIVE")
