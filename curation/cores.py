"""How many cores, and how much memory, this process may use."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")
_QUOTA = _GROUP / "cpu.max"  # "200000 100000": two cores' worth of time; "max 100000": no limit


def usable_cores() -> int:
    """Cores that this process may run on, at least 1: what the system allows it, and a container's share of time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


def free_memory() -> int:
    """Bytes that this process may still take without anything being pushed out: what the system says is available, and
    what a container's limit leaves."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [total // 2]  # of a system that does not say
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")] or found
    with suppress(OSError, ValueError):
        # What is only cached can be dropped, so it is not counted as used.
        used = int((_GROUP / "memory.current").read_text()) - _cached()
        found.append(int((_GROUP / "memory.max").read_text()) - used)
    return max(0, min(found))


def _cached() -> int:
    """Bytes of this container's memory that only hold what is in files."""
    lines = (_GROUP / "memory.stat").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
