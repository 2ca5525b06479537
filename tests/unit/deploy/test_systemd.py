"""The systemd units: verified by systemd, equally confined, and in agreement with what they start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import EX_CONFIG
from webapp.launch.launcher import _DRAIN_S

ROOT = Path(__file__).resolve().parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SENTIQ = "/opt/sentiq/bin/sentiq"


def lines(unit: Path) -> list[tuple[str, str]]:
    """A unit's settings with their values, in order."""
    settings = [line.partition("=") for line in unit.read_text().splitlines() if line[:1] not in ("#", "[", "")]
    return [(name, value) for name, _, value in settings]


SERVE, WORKER = (dict(lines(unit)) for unit in reversed(UNITS))


@pytest.mark.debian("systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze` finds no mistake in a unit, and hardly anything that its process may do without need."""
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(SENTIQ, f"{sys.prefix}/bin/sentiq"))
    verified = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    exposed = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", str(here)]
    judged = subprocess.run(exposed, env=os.environ, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


def test_confined_alike() -> None:
    """The service and a worker are confined in the same way: the units differ only in what they start and in their
    folders.
    """
    differ = {"Description", "Type", "ExecStart", "ExecReload", "EnvironmentFile", "TimeoutStartSec", "TimeoutStopSec"}
    differ |= {"StateDirectory", "WorkingDirectory", "Environment"}
    same = [[line for line in lines(unit) if line[0] not in differ] for unit in UNITS]
    assert same[0] == same[1]
    assert {"DynamicUser", "ProtectSystem", "CapabilityBoundingSet", "SystemCallFilter"} <= {
        name for name, _ in same[0]
    }


def test_what_is_started() -> None:
    """The units start commands of the command line, and do not restart after a wrong setting."""
    assert SERVE["ExecStart"] == f"{SENTIQ} serve"
    assert SERVE["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert WORKER["ExecStart"] == f"{SENTIQ} worker %i"
    for command in ("serve", "worker"):
        subprocess.run([f"{sys.prefix}/bin/sentiq", command, "--help"], capture_output=True, check=True)
    assert SERVE["RestartPreventExitStatus"] == WORKER["RestartPreventExitStatus"] == str(EX_CONFIG)


def test_time_to_end() -> None:
    """systemd signals only the launcher, and waits as long as that may wait for web, workers and server in turn."""
    assert SERVE["KillMode"] == WORKER["KillMode"] == "mixed"
    assert int(SERVE["TimeoutStopSec"]) >= 3 * (_DRAIN_S + 5)
    assert int(WORKER["TimeoutStopSec"]) >= _DRAIN_S


def test_files_are_in_the_state_directory() -> None:
    """All files are written to the folder that systemd makes for the unit; the rest of the disk is read-only."""
    for unit in (SERVE, WORKER):
        state = f"%S/{unit['StateDirectory']}"
        assert unit["WorkingDirectory"] == state
        assert unit["Environment"].startswith(f"DATA_DIR={state}/data HF_HOME={state}/hub ")
