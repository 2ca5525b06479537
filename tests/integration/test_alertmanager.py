"""Whom an alert reaches: Alertmanager's configuration, checked by amtool, and the way of a page from a service that is
down to a receiver, by a real Prometheus and a real Alertmanager.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.disks import root_only
from tests.support.monitoring import CONFIG, Watch
from tests.support.receiver import Receiver
from tests.support.stack import ROOT, Stack, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.debian("prometheus-alertmanager")
WITH_CONFIG = ("sh", "monitoring/alertmanager/with-config.sh")
WEBHOOK = {"ALERT_WEBHOOK_URL": "https://example.com/it's"}
SLACK = {"ALERT_SLACK_URL": "https://hooks.slack.com/services/T/B/x"}
EMAIL = {"ALERT_EMAIL_TO": "a@example.com", "ALERT_EMAIL_FROM": "b@example.com", "ALERT_SMTP_SERVER": "mail:587"}
LOGIN = {"ALERT_SMTP_USER": "b", "ALERT_SMTP_PASSWORD": "'#{{: %"}


def with_config(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with the configuration that these variables make."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALERT_")}
    return subprocess.run(
        [*WITH_CONFIG, *command], cwd=ROOT, env=clean | variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("given", [WEBHOOK, SLACK, EMAIL, WEBHOOK | SLACK | EMAIL | LOGIN])
def test_configuration(given: dict[str, str]) -> None:
    """amtool accepts the configuration for each kind of receiver; pages and tickets go to receivers of their own, with
    what was set, whatever signs it has.
    """
    done = with_config("amtool", "check-config", "/dev/stdin", **given)
    assert (done.returncode, "2 receivers" in done.stdout) == (0, True), done.stdout + done.stderr
    for severity in ("page", "ticket"):
        routed = ("amtool", "config", "routes", "test", "--config.file=/dev/stdin", f"severity={severity}")
        assert with_config(*routed, **given).stdout.strip() == severity
    config = yaml.safe_load(with_config("cat", **given).stdout)
    for receiver in config["receivers"]:
        told = {name: value for (one,) in list(receiver.values())[1:] for name, value in one.items()}
        assert told["send_resolved"] is True
        assert set(given.values()) <= set(told.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nobody would be told"),
        ({"ALERT_EMAIL_TO": "a@example.com"}, "needs ALERT_EMAIL_FROM"),
        (EMAIL | {"ALERT_SMTP_SERVER": ""}, "needs ALERT_SMTP_SERVER"),
        ({"ALERT_WEBHOOK_URL": "a\nb"}, "line break"),
        ({"ALERT_SLACK_URL": "a\rb"}, "line break"),
        (EMAIL | {"ALERT_SMTP_TLS": "false\r        to: b@example.com"}, "ALERT_SMTP_TLS is neither true nor false"),
    ],
)
def test_incomplete_settings(given: dict[str, str], said: str) -> None:
    """Without a receiver, or with half of one, nothing is started, and one sentence says what is missing."""
    done = with_config("echo", "started", **given)
    assert (done.returncode, done.stdout) == (78, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.debian("prometheus")
def test_a_page_reaches_somebody(make_stack: Callable[..., Stack], receiver: Receiver) -> None:
    """Prometheus finds that the service is down, by the rules as they are but without the minutes that they wait, and
    Alertmanager posts the page to the webhook with its words and its section of the runbook.
    """
    stack = make_stack()  # of which nothing is started
    watch, port = Watch(stack), free_port()
    try:
        options = ["--config.file=/dev/stdin", f"--storage.path={stack.folder / 'alertmanager'}"]
        options += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        alertmanager = watch.start("alertmanager", [*WITH_CONFIG, "prometheus-alertmanager", *options],
                                   ALERT_WEBHOOK_URL=receiver.url)  # fmt: skip
        watch.start_prometheus(rules=[impatient(stack.folder)], alertmanager=f"127.0.0.1:{port}")

        def page() -> dict[str, Any] | None:
            assert alertmanager.running, alertmanager.log
            told = [json.loads(body) for body in receiver.bodies]
            return next((one for one in told if one["groupLabels"] == {"alertname": "SentiqTargetDown"}), None)

        told = wait_until(page, what="the page", timeout_s=90)
        assert (told["receiver"], told["status"]) == ("page", "firing")
        (alert,) = (one for one in told["alerts"] if "instance" in one["labels"])
        assert alert["labels"]["job"] == "sentiq-web"
        assert alert["annotations"]["summary"] == f"sentiq-web at 127.0.0.1:{stack.port} does not answer Prometheus."
        assert alert["annotations"]["runbook_url"] == "docs/runbook.md#sentiqtargetdown"
    finally:
        watch.close()


@pytest.mark.debian("prometheus")
@pytest.mark.debian("iproute2")
def test_the_documented_commands(tmp_path: Path) -> None:
    """The commands of docs/deploy.md for a host without Docker, as they stand, start both, and Prometheus finds
    Alertmanager. They run in a network of their own, as their ports are fixed.
    """
    root_only("make a network")
    text = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Alerts\n")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    known = f"""
until {sys.executable} -c '
import json, urllib.request
told = json.load(urllib.request.urlopen("http://127.0.0.1:9090/api/v1/alertmanagers"))
assert "127.0.0.1:9093" in told["data"]["activeAlertmanagers"][0]["url"]
urllib.request.urlopen("http://127.0.0.1:9093/-/ready")
' 2>/dev/null; do jobs %1 %2 >/dev/null; sleep 0.1; done
kill %1 %2; wait
"""
    done = subprocess.run(
        ["timeout", "60", "unshare", "--net", "bash", "-euc", f"ip link set lo up\n{block}{known}"],
        cwd=ROOT,
        env=os.environ | WEBHOOK | {"STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


def impatient(folder: Path) -> str:
    """The rules, all in one file, with alerts that fire at once."""
    groups = []
    for file in sorted((CONFIG.parent / "rules").glob("*.yml")):
        groups += yaml.safe_load(file.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        rule.pop("for", None)
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    return str(folder / "rules.yml")


def test_both_configurations_send_alerts() -> None:
    """Compose's Prometheus finds Alertmanager by DNS, so that it may be absent; the one of this machine has an address.
    All variables that the script reads can be set in .env.
    """
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ((there,),) = [one["dns_sd_configs"] for one in yaml.safe_load(CONFIG.read_text())["alerting"]["alertmanagers"]]
    assert there["names"] == ["alertmanager"]
    assert compose["alertmanager"]["profiles"] == ["alerts"]
    assert "inside" in compose["alertmanager"]["networks"]
    local = yaml.safe_load(CONFIG.with_name("local.yml").read_text())["alerting"]["alertmanagers"]
    assert local == [{"static_configs": [{"targets": [f"127.0.0.1:{there['port']}"]}]}]
    told = set(re.findall(r"ALERT_[A-Z_]*[A-Z]", (ROOT / WITH_CONFIG[1]).read_text()))
    assert set(compose["alertmanager"]["environment"]) == told
