"""Sentences about a disk that takes no new files, at each bound. The file system is a stand-in."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline_project.local import disk

FOLDER = Path("/srv/pipeline")
MEBIBYTE = 1024**2


def on(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Give the folder a file system with 1 GB and 1,000 inodes free, except for what is changed."""
    found = {"f_bavail": 1_000_000, "f_frsize": 1_000, "f_files": 5_000, "f_favail": 1_000, "f_flag": 0, **changed}
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**found))


def test_a_disk_with_room_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch)
    assert disk.trouble(FOLDER) is None


@pytest.mark.parametrize("size", [0, 5 * MEBIBYTE])
def test_a_disk_is_full_below_64_mebibytes_beside_what_is_to_be_stored(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    bound = 64 * MEBIBYTE + size
    on(monkeypatch, f_bavail=bound, f_frsize=1)
    assert disk.trouble(FOLDER, size) is None
    on(monkeypatch, f_bavail=bound - 1, f_frsize=1)
    free = -(-(bound - 1) // 1_000_000)
    told = f"The disk of {FOLDER} is full ({free} MB free): free 1 MB more, then everything goes on by itself"
    assert disk.trouble(FOLDER, size) == disk.full(FOLDER, size) == told


def test_blocks_count_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, f_bavail=64, f_frsize=MEBIBYTE)
    assert disk.full(FOLDER) is None
    on(monkeypatch, f_bavail=63, f_frsize=MEBIBYTE)
    assert "free 2 MB more" in str(disk.full(FOLDER))


@pytest.mark.parametrize(("files", "left", "is_full"), [(5_000, 64, False), (5_000, 63, True), (0, 0, False)])
def test_inodes_are_used_up_below_64_where_a_file_system_counts_them(
    monkeypatch: pytest.MonkeyPatch, files: int, left: int, is_full: bool
) -> None:
    on(monkeypatch, f_files=files, f_favail=left)
    told = (
        f"The disk of {FOLDER} has no free inodes ({left} left): delete some files, then everything goes on by itself"
    )
    assert disk.trouble(FOLDER) == (told if is_full else None)


def test_a_file_system_that_is_read_only_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, f_flag=os.ST_RDONLY | os.ST_NOSUID, f_bavail=0)
    told = f"{FOLDER} is on a read-only file system: make it writable, or start in another folder"
    assert disk.trouble(FOLDER) == disk.unusable(FOLDER) == told
    on(monkeypatch, f_flag=os.ST_NOSUID)
    assert disk.unusable(FOLDER) is None


def test_a_folder_that_is_gone_is_told_and_is_not_full(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    told = (
        f"{gone} cannot be used (No such file or directory): stop the platform, bring the folder back and start again"
    )
    assert disk.trouble(gone) == told
    assert disk.full(gone) is None


@pytest.mark.parametrize(
    ("number", "told"),
    [
        *((each, "cannot be written (") for each in (errno.EACCES, errno.EPERM, errno.EROFS)),
        *((each, "is full: free some space and start again") for each in (errno.ENOSPC, errno.EDQUOT)),
        (errno.EIO, "cannot be used: "),
    ],
)
def test_an_error_of_a_file_says_what_to_do(monkeypatch: pytest.MonkeyPatch, number: int, told: str) -> None:
    on(monkeypatch)
    error = OSError(number, os.strerror(number), "/srv/pipeline/a")
    assert "/srv/pipeline/a" in disk.explained(error, FOLDER)
    assert told in disk.explained(error, FOLDER)
    assert str(FOLDER) in disk.explained(OSError(number, os.strerror(number)), FOLDER), "an error may name no file"


def test_an_error_of_a_full_disk_says_how_much_to_free(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, f_bavail=0)
    assert "free 68 MB more" in disk.explained(OSError(errno.ENOSPC, ""), FOLDER)
