"""The Python client: `from webapp.client import Sentiq`, and the command line `sentiq` on it."""

from webapp.client.client import DEFAULT_URL, Format, Sentiq, whole_file
from webapp.client.types import Job, JobNotFound, Label, Line, Prediction, SentiqError, Status, Unavailable, WaitTimeout

__all__ = [
    "DEFAULT_URL",
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
