"""The Python client: `from webapp.client import Sentiq`, or `AsyncSentiq`, and the command line `sentiq` on it."""

from webapp.client.bodies import whole_file
from webapp.client.calls import Format
from webapp.client.client import DEFAULT_URL, AsyncSentiq, Sentiq
from webapp.client.types import Job, JobNotFound, Label, Line, Prediction, SentiqError, Status, Unavailable, WaitTimeout

__all__ = [
    "DEFAULT_URL",
    "AsyncSentiq",
    "Format",
    "Job",
    "JobNotFound",
    "Label",
    "Line",
    "Prediction",
    "Sentiq",
    "SentiqError",
    "Status",
    "Unavailable",
    "WaitTimeout",
    "whole_file",
]
