"""The Python client: `from webapp.client import Sentiq`, or `AsyncSentiq`, and the command line `sentiq` on it."""

from webapp.client.bodies import whole_file
from webapp.client.calls import Format
from webapp.client.client import DEFAULT_URL, AsyncSentiq, Sentiq
from webapp.client.files import FileOptions
from webapp.client.shares import (
    Bucket,
    Comparison,
    Comparisons,
    Difference,
    Estimate,
    Event,
    Labels,
    NamedShares,
    Rows,
    SampledText,
    Shares,
    Shift,
    StreamState,
)
from webapp.client.streams import AsyncStream, Stream
from webapp.client.types import (
    Job,
    JobNotFound,
    Label,
    Line,
    Prediction,
    Purged,
    SentiqError,
    Status,
    StreamNotFound,
    Unavailable,
    Waiting,
    WaitTimeout,
)

__all__ = [
    "DEFAULT_URL",
    "AsyncSentiq",
    "AsyncStream",
    "Bucket",
    "Comparison",
    "Comparisons",
    "Difference",
    "Estimate",
    "Event",
    "FileOptions",
    "Format",
    "Job",
    "JobNotFound",
    "Label",
    "Labels",
    "Line",
    "NamedShares",
    "Prediction",
    "Purged",
    "Rows",
    "SampledText",
    "Sentiq",
    "SentiqError",
    "Shares",
    "Shift",
    "Status",
    "Stream",
    "StreamNotFound",
    "StreamState",
    "Unavailable",
    "WaitTimeout",
    "Waiting",
    "whole_file",
]
