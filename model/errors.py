"""The errors of `model`.

    ModelError
    ├── ModelNotFound       no such folder, hub name or revision
    ├── ModelRefused        the model exists, but would answer wrongly
    │   ├── MissingHead     the classification head was never trained
    │   └── UnknownLabels   the model's classes match none of the analysis's
    ├── AnalysisNotFound    no analysis with this name can be loaded
    └── EngineUnavailable   the requested engine or device cannot run here
        └── NotCompiled     the model has no compiled form that may serve

Each of these stops a worker at its start. While scoring, an engine passes on the exceptions of the underlying library;
the worker then halves the batch until the text that causes the error is alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.description import Trial


class ModelError(Exception):
    """The model cannot be served; the message says what to do about it."""


class ModelNotFound(ModelError):
    """No model exists under the given name, folder or revision."""


class ModelRefused(ModelError):
    """The model exists, but its answers would be wrong."""


class MissingHead(ModelRefused):
    """The checkpoint has no trained classification head, so its answers would be random."""


class UnknownLabels(ModelRefused):
    """The model's classes cannot be mapped to those of the analysis (for sentiment: negative, neutral, positive)."""


class AnalysisNotFound(ModelError):
    """No analysis with the given name can be loaded."""


class EngineUnavailable(ModelError):
    """The requested engine or device cannot run on this machine."""


class NotCompiled(EngineUnavailable):
    """The model has no compiled form that may serve."""

    def __init__(self, message: str, trials: tuple[Trial, ...] = ()) -> None:
        super().__init__(message)
        self.trials = trials
        """What the gate found."""
