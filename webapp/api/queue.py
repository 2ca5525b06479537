"""`/queue`: what waits to be scored, for whoever runs the service."""

from __future__ import annotations

import time

import orjson
from flask import Blueprint, Response

from tasks.submit.backlog import Backlog


def queue_blueprint(backlog: Backlog) -> Blueprint:
    """The blueprint of `/queue`."""
    blueprint = Blueprint("queue", __name__)

    @blueprint.get("/queue")
    def waiting() -> Response:
        now = time.time()
        items = [
            {
                "queue": one.queue,
                "model": one.model,
                "owner": one.owner,
                "jobs": one.jobs,
                "texts": one.texts,
                "oldest_s": round(max(0.0, now - one.since), 1),
            }
            for one in backlog.waiting()
        ]
        return Response(orjson.dumps({"items": items}), mimetype="application/json")

    @blueprint.delete("/queue")
    def purge() -> Response:
        jobs, messages = backlog.purge()
        return Response(
            orjson.dumps({"cancelled_jobs": jobs, "removed_messages": messages}), mimetype="application/json"
        )

    return blueprint
