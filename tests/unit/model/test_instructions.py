"""Which instructions of the processor a graph is made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.instructions import instruction_set, overflows


def test_only_what_decides_counts(tmp_path: Path) -> None:
    """Instructions that make a difference for a graph are named, in order, and no others."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx512_vnni avx2 sse2 avx512f\n\nprocessor : 1\nflags : fpu\n")
    assert instruction_set(cpuinfo)[1:] == ("avx2", "avx512_vnni", "avx512f")
    cpuinfo.write_text("processor : 0\nFeatures : fp asimd asimddp i8mm\n")
    assert instruction_set(cpuinfo)[1:] == ("asimd", "asimddp", "i8mm")


def test_without_cpuinfo(tmp_path: Path) -> None:
    """On systems without that file, the kind of processor alone counts."""
    assert len(instruction_set(tmp_path / "none")) == 1
    assert instruction_set()[0]


@pytest.mark.parametrize(
    ("instructions", "overflow"),
    [
        (("x86_64", "avx2"), True),
        (("x86_64", "avx2", "avx512f"), True),
        (("x86_64", "avx2", "avx_vnni"), False),
        (("x86_64", "avx2", "avx512_vnni", "avx512f"), False),
        (("aarch64", "asimd"), False),
        (("arm64",), False),
    ],
)
def test_sums_that_overflow(instructions: tuple[str, ...], overflow: bool) -> None:
    """Weights of 8 bits overflow on x86 without VNNI, and nowhere else."""
    assert overflows(instructions) is overflow
