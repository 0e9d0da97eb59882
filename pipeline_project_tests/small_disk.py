"""A disk of our own for tests that fill it: a tmpfs."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = bytes(1024**2)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """`folder` as a disk with mount `options` (`size=`, `nr_inodes=`); the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk has no byte left."""
    with path.open("ab", buffering=0) as file:
        for size in (len(BLOCK), 4096):
            try:
                while file.write(BLOCK[:size]) == size:
                    pass
            except OSError:
                continue
