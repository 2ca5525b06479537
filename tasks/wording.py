"""What is wrong with a value, for people: pydantic's messages in plain words."""

from __future__ import annotations

import re

_WORDS = {
    r"^(Input|String|List|Dictionary|Value) should ": "must ",
    r", (unable to|got a) .*| after validation, not \d+": "",
    "^Field required": "is missing",
    "^Extra inputs are not permitted": "is not known",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "a valid dictionary": "an object",
    r"\ba valid (?![aeiou])": "a ",
}
_OWN = "Value error, "
"""What pydantic puts before the message of a check that is not its own."""


def in_words(message: str) -> str:
    """A message of pydantic, to be read after the value's name: `must be a whole number`. Those of Sentiq's own checks
    stay as they are.
    """
    if message.startswith(_OWN):
        return message.removeprefix(_OWN)
    for pattern, words in _WORDS.items():
        message = re.sub(pattern, words, message)
    return message
