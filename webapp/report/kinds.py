"""What a line of a job is to a report."""

from __future__ import annotations

SCORED, FAILED, UNREAD, NOT_ABOUT, UNANSWERED = range(5)
"""Counted in the shares; failed; in a language that the model does not read; does not name the job's target; without an
answer, in a job that was cancelled.
"""
