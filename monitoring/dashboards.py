"""Writes Grafana's dashboards from `monitoring.panels` and `monitoring.stream_panels`: `python -m
monitoring.dashboards`. A test checks that the files are up to date.

Each panel has a unit and says what it shows and what is normal. One that belongs to an alert links to that alert's
section of docs/runbook.md, which stands in the dashboard itself, so that it can be read where the pager leads.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from monitoring.panels import SERVICE, WORKERS, Dashboard, Marks, Panel
from monitoring.stream_panels import STREAMS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "sentiq-prometheus"}
RUNBOOK_ID = 100
_WIDTH, _HEIGHT = 24, 8
DASHBOARDS = {"service.json": SERVICE, "workers.json": WORKERS, "streams.json": STREAMS}


def sections() -> dict[str, str]:
    """The runbook's text for each alert."""
    text = (ROOT / "docs" / "runbook.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    found = re.findall(r"^### (\w+)\n\n(.*?)(?=\n### |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: body.strip() for name, body in found}


def _panel(panel: Panel, number: int, x: int, y: int, uid: str) -> dict[str, Any]:
    custom: dict[str, Any] = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 8,
        "showPoints": "never",
    }
    custom |= {"stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"}}
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": panel.bottom,
        "custom": custom,
        "color": {"mode": "palette-classic"},
    }
    if panel.top is not None:
        defaults["max"] = panel.top
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
        custom["thresholdsStyle"] = {"mode": "line"}
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    dashed = {"id": "custom.lineStyle", "value": {"dash": [8, 8], "fill": "dash"}}
    capacity = {
        "matcher": {"id": "byRegexp", "options": "capacity .*"},
        "properties": [dashed, {"id": "custom.fillOpacity", "value": 0}],
    }
    has_capacity = any(legend.startswith("capacity") for _, legend in panel.queries)
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"h": _HEIGHT, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": [capacity] if has_capacity else []},
        "options": {
            "legend": {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "links": [
            {"title": f"Runbook: {alert}", "url": f"/d/{uid}?viewPanel={RUNBOOK_ID}", "targetBlank": True}
            for alert in panel.alerts
        ],
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend,
                "range": True,
            }
            for i, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": _WIDTH, "x": 0, "y": y},
        "panels": [],
    }


def _runbook(alerts: list[str], y: int) -> dict[str, Any]:
    text = "\n\n".join(f"### {name}\n\n{body}" for name, body in sections().items() if name in alerts)
    # Links within the runbook lead nowhere here.
    text = re.sub(r"\[(\w+)\]\(#\w+\)", r"*\1*", text)
    return {
        "id": RUNBOOK_ID,
        "type": "text",
        "title": "Runbook",
        "description": "What to do when an alert fires; docs/runbook.md has it too.",
        "gridPos": {"h": 20, "w": _WIDTH, "x": 0, "y": y},
        "options": {"mode": "markdown", "content": text},
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _annotation(marks: Marks) -> dict[str, Any]:
    return {
        "name": marks.title,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": marks.query,
        "useValueForTime": True,
        "titleFormat": marks.title,
        "textFormat": marks.text,
        "step": "60s",
    }


def build(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for number, (title, row) in enumerate(dashboard.rows, start=RUNBOOK_ID + 1):
        panels.append(_row(title, number, y))
        x, y = 0, y + 1
        for panel in row:
            if x + panel.width > _WIDTH:
                x, y = 0, y + _HEIGHT
            panels.append(_panel(panel, sum(known["id"] < RUNBOOK_ID for known in panels) + 1, x, y, dashboard.uid))
            x += panel.width
        y += _HEIGHT
    alerts = [alert for _, row in dashboard.rows for panel in row for alert in panel.alerts]
    panels += [_row("Runbook", RUNBOOK_ID + len(dashboard.rows) + 1, y), _runbook(alerts, y + 1)]
    others = [
        {"title": other.title, "type": "link", "url": f"/d/{other.uid}", "keepTime": True}
        for other in DASHBOARDS.values()
        if other is not dashboard
    ]
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["sentiq"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": others,
        "templating": {"list": [_variable(*dashboard.variable)] if dashboard.variable else []},
        "annotations": {"list": [_annotation(dashboard.marks)] if dashboard.marks else []},
        "panels": panels,
    }


def text(dashboard: Dashboard) -> str:
    """The dashboard's file."""
    return json.dumps(build(dashboard), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, dashboard in DASHBOARDS.items():
        (FOLDER / file).write_text(text(dashboard))
