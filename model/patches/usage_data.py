"""OpenVINO 2026.4.1 sends usage data to Google Analytics when it is imported, without asking.

It also leaves the id of this installation in the user's home. NNCF 3.4.0 does the same when it quantises a model. Both
go without if `openvino_telemetry`, which they install, cannot be imported.
"""

from __future__ import annotations

import sys


def install() -> None:
    """Makes `openvino_telemetry` a module that cannot be imported in this process."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
