"""The embedded model's figures are shown only for the weights that they were measured with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from model.figures import FileFigures, Recall, read_figures, write_figures

ONE = FileFigures("tweets", "dev", 10, 70.0, 69.5, 71.0, 2.0, Recall(70.0, 60.0, 80.0))


def test_figures_are_read_as_written(tmp_path: Path) -> None:
    """Figures written for a model are read for that model."""
    other = dataclasses.replace(ONE, split="test")
    write_figures("default@1/compiled", [ONE, other], tmp_path)
    assert read_figures("default@1/compiled", tmp_path) == [ONE, other]


def test_figures_of_other_weights_are_not_told(tmp_path: Path) -> None:
    """For another revision, another engine, or a folder without figures, there are none."""
    assert read_figures("default@1/compiled", tmp_path) == []
    write_figures("default@1/compiled", [ONE], tmp_path)
    assert read_figures("default@2/compiled", tmp_path) == []
    assert read_figures("default@1/pipeline", tmp_path) == []
