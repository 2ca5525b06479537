"""Grafana's dashboards: the files agree with `monitoring.panels`, and every panel has what a person on call needs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from monitoring.dashboards import DASHBOARDS, FOLDER, RUNBOOK_ID, build, sections, text
from tests.unit.test_alerts import ROOT, alerts

PANELS = [
    panel
    for file in DASHBOARDS
    for panel in json.loads((FOLDER / file).read_text())["panels"]
    if panel["type"] == "timeseries"
]


def _linked(panel: dict[str, Any]) -> set[str]:
    return {link["title"].removeprefix("Runbook: ") for link in panel["links"]}


@pytest.mark.parametrize("file", DASHBOARDS)
def test_files_are_as_generated(file: str) -> None:
    """The committed dashboard is what `python -m monitoring.dashboards` writes now, the runbook's text included."""
    assert (FOLDER / file).read_text() == text(DASHBOARDS[file])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_is_complete(panel: dict[str, Any]) -> None:
    """Each panel has a unit, a description and a legend for each query; it links only to alerts that exist."""
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
    assert _linked(panel) <= set(alerts())
    assert all(link["url"].endswith(f"viewPanel={RUNBOOK_ID}") for link in panel["links"])


@pytest.mark.parametrize("file", DASHBOARDS)
def test_variables_are_used_and_defined(file: str) -> None:
    """What a dashboard lets its reader choose is used by its panels and marks, and they use nothing else."""
    dashboard = json.loads((FOLDER / file).read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries += [marks["expr"] for marks in dashboard["annotations"]["list"]]
    used = {name for query in queries for name in re.findall(r"\$(\w+)", query)} - {"__rate_interval"}
    assert used == {variable["name"] for variable in dashboard["templating"]["list"]}


def test_shifts_are_marked() -> None:
    """The dashboard of streams marks shifts at the times that the metric tells, in milliseconds, and names whose."""
    (marks,) = json.loads((FOLDER / "streams.json").read_text())["annotations"]["list"]
    assert marks["useValueForTime"]
    assert marks["expr"].endswith("* 1000")
    assert "sentiment_stream_shift_timestamp_seconds" in marks["expr"]
    assert {"stream", "segment"} <= set(re.findall(r"{{(\w+)}}", marks["textFormat"]))


def test_every_alert_is_on_a_panel() -> None:
    """Each alert is linked from a panel, on a dashboard that includes its section of the runbook."""
    assert set().union(*map(_linked, PANELS)) == set(alerts()) == set(sections())
    for dashboard in DASHBOARDS.values():
        built = build(dashboard)
        (runbook,) = (panel for panel in built["panels"] if panel["id"] == RUNBOOK_ID)
        shown = set(re.findall(r"^### (\w+)$", runbook["options"]["content"], re.MULTILINE))
        assert shown == set().union(*(_linked(panel) for panel in built["panels"] if panel["type"] == "timeseries"))


@pytest.mark.parametrize("file", DASHBOARDS)
def test_panels_do_not_overlap(file: str) -> None:
    """Ids are unique, and no panel overlaps another or the edge."""
    panels = json.loads((FOLDER / file).read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_provisioning() -> None:
    """Grafana is given the data source that the panels name, and the folder with the dashboards."""
    folder = ROOT / "monitoring" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}
    (provider,) = yaml.safe_load((folder / "dashboards" / "sentiq.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
