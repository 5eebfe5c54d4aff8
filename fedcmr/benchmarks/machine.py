"""What a benchmark ran on. The machine's name is not among it."""

import os
import platform
from pathlib import Path

import lightning
import torch

PROCESSORS = Path("/proc/cpuinfo")


def machine() -> dict[str, object]:
    """Processor, cores, memory, versions, and how busy the machine is now."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": pages,
        "accelerator": "none used",
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "threads": 1,
        "load_average": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    if PROCESSORS.exists():
        for line in PROCESSORS.read_text().splitlines():
            word, _, value = line.partition(":")
            if word.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
