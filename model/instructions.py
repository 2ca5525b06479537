"""The instructions of this machine's processor that decide how a graph computes."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_DECIDING = {
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "avx10_1", "avx10_2"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
}
_SUMS_IN_32_BITS = {"avx512_vnni", "avx_vnni", "amx_int8"}


def instruction_set(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """The kind of processor, and those of its instructions that decide how a graph computes."""
    flags: set[str] = set()
    try:
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    except OSError:  # not Linux
        pass
    return platform.machine(), *sorted(flags & _DECIDING)


def overflows(instructions: tuple[str, ...]) -> bool:
    """Whether products of two int8 are summed up in 16 bits, which is too few for weights of 8: on x86 without VNNI."""
    return instructions[0] in ("x86_64", "AMD64") and not _SUMS_IN_32_BITS & set(instructions)
