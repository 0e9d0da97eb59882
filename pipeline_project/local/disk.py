"""Says in one sentence why a folder takes no new files: its disk is full, has no free inodes, is read-only, or is gone."""

import errno
import os
from pathlib import Path

ROOM_BYTES = 64 * 1024**2
"""Uploads are refused below this. PostgreSQL writes its log in files of 16 MB, and stops when there is no room for one."""
ROOM_FILES = 64
GOES_ON = "everything goes on by itself"


def trouble(folder: Path, size: int = 0) -> str | None:
    """What is wrong with the folder and what to do, as a sentence; None if `size` bytes can be stored there."""
    return unusable(folder) or full(folder, size)


def unusable(folder: Path) -> str | None:
    """Like `trouble`, for a folder that is gone or read-only."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror}): stop the platform, bring the folder back and start again"
    if found.f_flag & os.ST_RDONLY:
        return f"{folder} is on a read-only file system: make it writable, or start in another folder"
    return None


def full(folder: Path, size: int = 0) -> str | None:
    """Like `trouble`, for a disk without space or inodes."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    free = found.f_bavail * found.f_frsize
    if free < size + ROOM_BYTES:
        needed = _megabytes(size + ROOM_BYTES - free)
        return f"The disk of {folder} is full ({_megabytes(free)} MB free): free {needed} MB more, then {GOES_ON}"
    # A file system that makes inodes as it needs them counts none.
    if found.f_files and found.f_favail < ROOM_FILES:
        return f"The disk of {folder} has no free inodes ({found.f_favail} left): delete some files, then {GOES_ON}"
    return None


def explained(error: OSError, folder: Path) -> str:
    """An error of a file in the folder as a sentence that says what to do."""
    path = error.filename or folder
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written ({error.strerror}): make it writable, or start in another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(folder) or f"The disk of {path} is full: free some space and start again"
    return f"{path} cannot be used: {error.strerror or error}"


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)
