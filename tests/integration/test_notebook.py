"""The notebook of the documents, run from the first cell to the last as Jupyter would."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.support.stack import ROOT, Stack


def run(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell; returns the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    *before, last = tree.body
    shown = isinstance(last, ast.Expr)
    exec(compile(ast.Module(before if shown else tree.body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_streams_notebook(service: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs against a service; the labels correct the counts, and the verdict is the planted one."""
    monkeypatch.setenv("SENTIQ_URL", f"http://127.0.0.1:{service.port}")
    notebook = json.loads((ROOT / "docs" / "streams.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = [run(source, names) for source in cells]
    assert ("succeeded", 600) in shown
    assert names["hours"]["texts"].sum() == 600
    assert set(names["hours"]["method"]) == {"raw"}
    (compared,) = names["compared"]
    assert (compared.verdict, compared.method) == ("ahead", "corrected")
    assert compared.sentence in [value for value in shown if isinstance(value, str)]
