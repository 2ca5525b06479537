"""The validator's messages in plain words."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.wording import in_words


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (int, "x", "must be a whole number"),
        (int, 1.5, "must be a whole number"),
        (float, "x", "must be a number"),
        (bool, "x", "must be true or false"),
        (str, 1, "must be a string"),
        (list, 1, "must be a list"),
        (dict, 1, "must be an object"),
    ],
)
def test_messages_of_pydantic(kind: type, value: object, words: str) -> None:
    """What pydantic says of a value reads as a sentence after the value's name, without its asides."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(value)
    assert in_words(refused.value.errors()[0]["msg"]) == words


@pytest.mark.parametrize(
    "message", ["is not a valid address; in a password, write / as %2F", "Input should stay, unable to change"]
)
def test_own_messages(message: str) -> None:
    """The messages of Sentiq's own checks are passed on unchanged."""
    assert in_words(f"Value error, {message}") == message
