"""What can go wrong in the inference package.

    ModelError
    ├── ModelNotFound       no such folder, hub name or revision
    ├── ModelRefused        it exists, but would answer wrongly
    │   ├── MissingHead     the classification head was never trained
    │   └── UnknownLabels   its classes fit none of the analysis's
    ├── AnalysisNotFound    no analysis of this name can be loaded
    └── EngineUnavailable   the engine or device asked for cannot run here

All of these end a worker's start. While it scores, an engine lets the library's own exception through; the caller
then halves the batch until the text that causes it stands alone.
"""


class ModelError(Exception):
    """A model cannot be served; the message says what to do about it."""


class ModelNotFound(ModelError):
    """No model is at the given name, folder or revision."""


class ModelRefused(ModelError):
    """The model loads, but its answers would be wrong."""


class MissingHead(ModelRefused):
    """The checkpoint holds no trained classification head: its answers would be random."""


class UnknownLabels(ModelRefused):
    """The model's classes cannot be mapped to the analysis's: for sentiment negative, neutral and positive."""


class AnalysisNotFound(ModelError):
    """No analysis of the given name can be loaded."""


class EngineUnavailable(ModelError):
    """The engine or the device that was asked for cannot run here."""
