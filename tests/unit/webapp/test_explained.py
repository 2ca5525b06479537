"""How the command line shows sentences and the weights of words."""

from __future__ import annotations

import pytest

from webapp.client.explained import show
from webapp.client.types import Prediction

TEXT = "A [bold] show,\n horrible"
FOUND = Prediction.of(
    {
        "text": TEXT,
        "label": "NEGATIVE",
        "confidence": 0.9,
        "scores": {"NEGATIVE": 0.9},
        "model": "m",
        "cached": False,
        "truncated": False,
        "sentences": [
            {"text": TEXT, "offset": 0, "length": len(TEXT), "label": "NEGATIVE", "confidence": 0.9, "scores": {}},
            {"text": "?", "offset": 0, "length": 1, "label": None, "confidence": None, "scores": None},
        ],
        "words": [
            {"text": "A", "offset": 0, "length": 1, "weight": 0.001},
            {"text": "[bold] show", "offset": 2, "length": 11, "weight": -0.05},
            {"text": "horrible", "offset": 16, "length": 8, "weight": 0.6},
        ],
    }
)


@pytest.fixture(autouse=True)
def _no_colours_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_no_colours_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, text and figures are printed without colours, and brackets as they are."""
    show(FOUND)
    assert capsys.readouterr().out.splitlines() == [
        "  NEGATIVE  0.9000  A [bold] show, horrible",
        "  -         -       ?",
        "  A [bold] show, horrible",
        "  horrible +0.600, [bold] show -0.050, A +0.001",
    ]


def test_colours_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, words for the label are green, those against it red, and those that weigh nothing plain; not if
    NO_COLOR is set.
    """
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    show(FOUND)
    out = capsys.readouterr().out
    assert "\x1b[1;32mhorrible\x1b[0m" in out
    assert "\x1b[31m[bold] show\x1b[0m" in out
    assert "mA\x1b" not in out
    monkeypatch.setenv("NO_COLOR", "1")
    show(FOUND)
    assert "32m" not in capsys.readouterr().out
