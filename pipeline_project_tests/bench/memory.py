"""How much memory a process has needed."""

import re
from pathlib import Path


def peak_megabytes() -> float:
    """Of this process, at most so far. (getrusage's figure begins with that of the process that started it.)"""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else 0.0
