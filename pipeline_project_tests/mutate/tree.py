"""A copy of the working tree in which mutations are tried. The tree itself is never changed.

Its compiled modules are found by the hash of their source: two changes within one second may have the same length.
"""

import compileall
import py_compile
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MUTATED = ("pipeline_project", "deploy")
"""Packages that have mutations."""


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
        for package in copy.glob("*/__init__.py"):
            compileall.compile_dir(
                package.parent, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
            )
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
