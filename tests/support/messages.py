"""Makes messages in the form that they have in a queue."""

from __future__ import annotations

import base64
import json
import uuid


def message(task: str, body: bytes, *, content_type: str = "application/json", encoding: str = "utf-8") -> str:
    """A message for a task, with any body."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": encoding,
            "content-type": content_type,
            "headers": {"task": task, "id": str(uuid.uuid4()), "lang": "py", "root_id": None, "parent_id": None},
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": "interactive"},
                "delivery_mode": 2,
                "delivery_tag": str(uuid.uuid4()),
                "priority": 0,
            },
        }
    )
