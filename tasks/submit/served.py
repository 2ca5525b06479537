"""The models that a web process serves, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import redis

from tasks.errors import ModelNotServed, UnknownModel
from tasks.models import Model, each_once
from tasks.queue.turns import Turns
from tasks.store.compilations import Compilations
from tasks.store.presence import KnownModel
from tasks.submit.predictor import Predictor
from tasks.wire import CompilingMark


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model, and the parts of a web process that no two models share."""

    model: Model
    known: KnownModel
    """What is known about its workers."""
    predictor: Predictor
    turns: Turns
    """Lets the chunks of its jobs wait for their turn."""
    compilations: Compilations
    """Lists the workers that compile their model."""

    def require_workers(self, wish: str | None) -> None:
        """Refuses texts for a named model without workers. Texts for the default model wait until it has some.

        Raises:
            ModelNotServed: no worker is ready with it.
        """
        if wish is not None and not self.model.is_default and not self.known.served:
            mark = self.compiling()
            raise ModelNotServed(wish, mark.words if mark is not None else "")

    def compiling(self, role: str = "interactive") -> CompilingMark | None:
        """How far the model is, if no worker of this role is ready with it yet because it is being compiled. Never
        raises.
        """
        if self.known.ready(role):
            return None
        with suppress(redis.RedisError):
            return next((mark for mark in self.compilations.under_way() if mark.tag == self.model.tag), None)
        return None


class ServedModels:
    """All models of the service, by name; `choose` is the only place where a text gets its model."""

    def __init__(self, by_name: Mapping[str, ServedModel], default: ServedModel) -> None:
        """`default` answers requests that name no model."""
        self.default = default
        self._by_wish: dict[str | None, ServedModel] = {None: default}
        self._by_wish.update(by_name)

    @property
    def settings(self) -> tuple[Model, ...]:
        """What the settings say of each model, the default one first."""
        return each_once({served.model.name: served.model for served in self._by_wish.values()})

    def choose(self, wish: str | None) -> ServedModel:
        """The model for a request's texts. What else may decide, such as a text's language, belongs here as well.

        Args:
            wish: the name that the request gives; None if it gives none.

        Raises:
            UnknownModel: no model has this name.
        """
        chosen = self._by_wish.get(wish)
        if chosen is None:
            raise UnknownModel([name for name in self._by_wish if name is not None])
        return chosen
