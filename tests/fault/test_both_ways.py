"""Thousands of requests to `/predict`, with Flask and without: see `tests/integration/test_both_ways.py`."""

from __future__ import annotations

import hypothesis
import pytest

from tests.support.requests import predict_requests
from tests.support.twins import Asked, running_twins

REQUESTS = 5000


@pytest.mark.timeout(900)
def test_any_request() -> None:
    """Both ways answer, count, log and charge the same for any request.

    Each run makes other requests; one that fails is printed.
    """
    with running_twins() as twins:

        @hypothesis.settings(
            max_examples=REQUESTS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(predict_requests())
        def same(asked: Asked) -> None:
            twins.ask(asked)

        same()
        assert {"200", "202", "400", "401", "403", "404", "405", "413", "415", "421", "422", "429"} <= set(
            twins.statuses
        )
        assert twins.statuses["200"] > REQUESTS / 10
