"""What the command line says of wrong usage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tasks.wording import in_words


@contextmanager
def plain_words() -> Iterator[None]:
    """Rewords what is raised in the block about a bad argument: Typer passes pydantic's messages on."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = in_words(error.message)
        raise
