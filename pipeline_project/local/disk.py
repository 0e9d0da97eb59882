"""Says in one sentence why a folder takes no new files: its disk is full, has no free inodes, is read-only, or is gone."""

import os
from pathlib import Path

ROOM_BYTES = 64 * 1024**2
"""Uploads are refused below this. PostgreSQL writes its log in files of 16 MB, and stops when there is no room for one."""
ROOM_FILES = 64
GOES_ON = "everything goes on by itself"


def trouble(folder: Path, size: int = 0) -> str | None:
    """What is wrong with the folder and what to do, as a sentence; None if `size` bytes can be stored there."""
    found = _look(folder)
    return found if isinstance(found, str) else _full(folder, found, size)


def unusable(folder: Path) -> str | None:
    """Like `trouble`, but a full disk is no reason: room may have been set aside."""
    found = _look(folder)
    return found if isinstance(found, str) else None


def _look(folder: Path) -> os.statvfs_result | str:
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror}): stop the platform, bring the folder back and start again"
    if found.f_flag & os.ST_RDONLY:
        return f"{folder} is on a read-only file system: make it writable, or start in another folder"
    return found


def _full(folder: Path, found: os.statvfs_result, size: int) -> str | None:
    free = found.f_bavail * found.f_frsize
    if free < size + ROOM_BYTES:
        needed = _megabytes(size + ROOM_BYTES - free)
        return f"The disk of {folder} is full ({_megabytes(free)} MB free): free {needed} MB more, then {GOES_ON}"
    # A file system that makes inodes as it needs them counts none.
    if found.f_files and found.f_favail < ROOM_FILES:
        return f"The disk of {folder} has no free inodes ({found.f_favail} left): delete some files, then {GOES_ON}"
    return None


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)
