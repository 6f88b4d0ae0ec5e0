"""What the figures were measured on; ratios travel to other machines, absolute figures do not."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

BYTES_PER_GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, the versions of what ran on it, and how busy it was in the minute before."""

    processor: str
    cores: int
    memory_gibibytes: float
    system: str
    python: str
    postgres: str
    load_before: float


def this_machine(*, postgres: str, load_before: float) -> Machine:
    """The machine that this runs on; `postgres` is the server's own version."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gibibytes=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / BYTES_PER_GIBIBYTE, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgres=postgres,
        load_before=load_before,
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    if platform.system() == "Darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return platform.processor() or "unknown"
