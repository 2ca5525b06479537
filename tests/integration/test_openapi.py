"""The OpenAPI document and the running service: whatever a client sends, the answer is documented."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.stack import Stack
from webapp.api.openapi import openapi_document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


# Operations without parameters and without a body have no invalid requests.
OPERATIONS = [
    (mode, path, method.upper())
    for path, operations in openapi_document()["paths"].items()
    for method, operation in operations.items()
    for mode in GenerationMode
    if mode == GenerationMode.POSITIVE or "parameters" in operation or "requestBody" in operation
]
bounded = hypothesis.settings(
    max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)


@pytest.mark.parametrize(("mode", "path", "method"), OPERATIONS)
def test_every_operation(service: Stack, mode: GenerationMode, path: str, method: str) -> None:
    """Each operation answers valid and invalid requests as documented: status, headers, type and body."""
    operation = schemathesis.openapi.from_url(f"{service.http.base_url}/openapi.json")[path][method]
    statuses: set[int] = set()
    # Of a stream of events schemathesis holds each event against the schema, which is that of the body.
    checks = [check for check in CHECKS if check is not response_schema_conformance or not path.endswith("/events")]

    @bounded
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def answers_as_documented(case: Any) -> None:
        statuses.add(case.call_and_validate(checks=checks).status_code)

    answers_as_documented()
    if path.endswith("/compare"):
        return  # what is compared with what is not in the schema: all these requests name too much or too little
    # Ids are generated, so these requests can only find unknown jobs.
    assert statuses & ({200, 202, 404} if mode == GenerationMode.POSITIVE else {400, 404, 415, 422})


def test_document_is_openapi_3_1(service: Stack) -> None:
    """The document says that it is OpenAPI 3.1 and is valid as such."""
    document = schemathesis.openapi.from_url(f"{service.http.base_url}/openapi.json")
    document.validate()
    assert document.raw_schema["openapi"].startswith("3.1")


def test_existing_jobs(service: Stack) -> None:
    """For jobs that exist, in the states that occur here, the answers are as documented too."""
    document = schemathesis.openapi.from_url(f"{service.http.base_url}/openapi.json")
    jobs = [service.submit(texts) for texts in (["good", "", "poison"], [""], [f"good {i} lines" for i in range(300)])]
    service.ended(jobs[0])
    for path in ("/jobs/{job_id}", "/jobs/{job_id}/results"):
        for job in jobs:
            for query in ({}, {"cursor": "2", "limit": "5"}, {"cursor": "99"}):
                if query and not path.endswith("results"):
                    continue
                case = document[path]["GET"].Case(path_parameters={"job_id": job["id"]}, query=query)
                response = case.call_and_validate(checks=CHECKS)
                assert response.status_code == 200
    for job in jobs:
        service.ended(job)
