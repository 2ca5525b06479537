"""Prometheus' configuration, the alert rules and their tests, checked with promtool; and the runbook's sections for
them.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "monitoring" / "prometheus"


def _promtool(*arguments: str) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    """All rules of the files."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alert rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


@pytest.mark.debian("prometheus")
@pytest.mark.parametrize("file", ["prometheus.yml", "local.yml"])
def test_configuration(file: str) -> None:
    """promtool finds no fault in the configuration and the rules that it names."""
    found = re.findall(r"(\d+) rules found", _promtool("check", "config", file))
    assert sum(map(int, found)) == len(rules())


@pytest.mark.debian("prometheus")
def test_alerts_fire_and_keep_silent() -> None:
    """The alerts fire exactly when they should, with the right words."""
    _promtool("test", "rules", *(str(file) for file in sorted((PROMETHEUS / "tests").glob("*.yml"))))


@pytest.mark.parametrize("fires", [True, False])
def test_every_alert_is_tested_both_ways(fires: bool) -> None:
    """Each alert has a test in which it fires and one in which it does not."""
    tested = {
        case["alertname"]
        for file in (PROMETHEUS / "tests").glob("*.yml")
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
        if bool(case["exp_alerts"]) is fires
    }
    assert tested == set(alerts())


def test_every_alert_has_its_runbook_line() -> None:
    """Each alert says how urgent it is and points to its section of the runbook; no section lacks an alert."""
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    section = runbook.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.+)$", section, re.MULTILINE) == list(alerts())
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert rule["annotations"]["summary"]
    for link in re.findall(r"\]\(#(\w+)\)", runbook):
        assert link in {name.lower() for name in alerts()}, link


def test_local_configuration_has_the_same_jobs() -> None:
    """The Prometheus for `make run` has compose's scrape jobs, so that rules and dashboards work with both."""
    here, there = (yaml.safe_load((PROMETHEUS / name).read_text()) for name in ("local.yml", "prometheus.yml"))
    jobs = [{job["job_name"]: job.get("metrics_path") for job in config["scrape_configs"]} for config in (here, there)]
    assert jobs[0] == jobs[1]
    assert here["rule_files"] == there["rule_files"]
