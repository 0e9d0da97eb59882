"""A copy of the working tree in which mutations are tried. The tree itself is never changed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Copy what git knows and what it does not ignore, as it is now, and remove the copy at the end."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    ).stdout.decode()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = Path(folder) / "tree"
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        yield copy


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """Give a file another text for a while."""
    before = path.read_bytes()
    path.write_text(text, "utf-8")
    try:
        yield
    finally:
        path.write_bytes(before)
