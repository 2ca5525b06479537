"""Models are found, fetched and checked without the libraries that run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.checkpoints import NAMES
from tests.support.hub import COMMIT, hub


def in_another_process(code: str, **environment: str) -> list[str]:
    """What a Python program prints, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.splitlines()


LOADED = "import sys; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"


def test_checks_need_no_libraries(checkpoint: Callable[..., Path]) -> None:
    """A model is found and checked, and its own classes are read, without torch, transformers or numpy in memory."""
    code = f"""
from model.checkpoint import find_checkpoint, own_analysis
find_checkpoint({str(checkpoint("bert"))!r}, analysis=own_analysis({str(checkpoint("bert"))!r}))
find_checkpoint("default")
{LOADED}
"""
    assert in_another_process(code) == ["[]"]


def test_model_of_the_hub(folder: Path, tmp_path: Path) -> None:
    """A model's files are fetched from the hub, and neither pickled weights nor folders; its version is the commit. The
    classes alone need one file. Without the hub, what was fetched is used; what was not is an error that says so.
    """
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"another")
    code = f"""
from model.checkpoint import find_checkpoint, own_analysis
print(own_analysis("me/small").classes)
found = find_checkpoint("me/small")
print(found.name, found.version)
{LOADED}
"""
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with hub("me/small", folder) as (address, fetched):
        classes = "from model.checkpoint import own_analysis; print(own_analysis('me/small').classes)"
        assert in_another_process(classes, HF_ENDPOINT=address, **home) == [str(NAMES)]
        assert fetched == {"config.json"}
        told = in_another_process(code, HF_ENDPOINT=address, **home)
        assert told == [str(NAMES), f"me/small {COMMIT[:12]}", "[]"]
        assert "model.safetensors" in fetched
        assert not {"pytorch_model.bin", "onnx/model.safetensors"} & fetched
    assert in_another_process(code, HF_ENDPOINT=address, **home) == told
    refused = """
from model.checkpoint import own_analysis
from model.errors import ModelNotFound
try:
    own_analysis("me/other")
except ModelNotFound as error:
    print(error)
"""
    (line,) = in_another_process(refused, HF_ENDPOINT=address, **home)
    assert line.startswith("me/other is no folder here, and was not found on the Hugging Face hub")
