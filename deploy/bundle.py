"""`python -m deploy.bundle` builds the zip of the API's Lambda function, without Docker.

In it are the pinned packages of requirements/api.txt as wheels for the target, the parts of `pipeline_project` that the
API imports, `sql/analytics`, and the datasets and operations of the folder of plug-ins
(`PIPELINE_PLUGINS`), all byte-compiled.
boto3 is not: the Lambda runtime has it, and so has the emulator's interpreter. The same sources give the same bytes,
and a bundle that is up to date is left alone.
"""

import argparse
import ast
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy.elf import stripped
from pipeline_project import plugins
from pipeline_project.errors import Permanent

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements" / "api.txt"
SOURCES = (
    "pipeline_project/__init__.py",
    "pipeline_project/settings.py",
    "pipeline_project/errors.py",
    "pipeline_project/exact_json.py",
    "pipeline_project/database.py",
    "pipeline_project/aws.py",
    "pipeline_project/health.py",
    "pipeline_project/logs.py",
    "pipeline_project/plugins.py",
    "pipeline_project/services.py",
    "pipeline_project/schema",
    "pipeline_project/datasets",
    "pipeline_project/canonical/__init__.py",
    "pipeline_project/canonical/relations.py",
    "pipeline_project/analytics",
    "pipeline_project/results",
    "pipeline_project/jobs",
    "pipeline_project/notify",
    "pipeline_project/api",
    "sql/analytics",
)
BUNDLED_KINDS = ("datasets", "operations")
"""The plug-ins that the API needs: the views that a query may read, and the operations."""
# `manylinux2014` resolves to an old psycopg without a word; the runtimes of Python 3.12 on have glibc 2.34.
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
# Written by the installer with times and paths of this machine, or of no use in Lambda.
LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock"}
LEFT_OUT_SUFFIXES = {".pyi", ".pyx", ".pxd", ".c", ".h"}
LAMBDA_ROOT = "/var/task"
EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
MAX_BYTES = 13_000_000


@dataclass(frozen=True)
class Target:
    """What the bundle runs on. `host` for both: this interpreter, as the emulator runs its functions on it."""

    architecture: str = "arm64"
    python: str = "3.13"

    @property
    def is_host(self) -> bool:
        return self.architecture == "host" or self.python == "host"

    def tag(self) -> str:
        """Tells apart bundles that cannot stand in for each other."""
        if self.is_host:
            return f"{sys.implementation.cache_tag}-{platform.system()}-{platform.machine()}"
        return f"{self.python}-{PLATFORMS[self.architecture]}"


HOST = Target("host", "host")


def build(output: Path, target: Target) -> bool:
    """Write the bundle to `output`; False if it was there and up to date (some milliseconds).

    Permanent says what could not be installed or compiled, or that the bundle grew past MAX_BYTES.
    """
    fingerprint = _fingerprint(target)
    if _is_current(output, fingerprint):
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bundle-") as scratch:
        tree = Path(scratch) / "tree"
        _install(tree, target)
        _copy_sources(tree)
        _remove_left_out(tree)
        _strip_libraries(tree)
        _compile(tree, target)
        # Beside the output, so that it is put in place whole.
        unfinished = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            _write_zip(tree, unfinished, fingerprint)
            if unfinished.stat().st_size > MAX_BYTES:
                raise Permanent(f"the bundle has {unfinished.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
            unfinished.replace(output)
        finally:
            unfinished.unlink(missing_ok=True)
    return True


NOT_BUNDLED = {"parquet.py", "plots.py"}
"""What a terminal needs of a package, plots, and the format that only jobs write, which run in Dagster."""


def source_files() -> list[Path]:
    """Files of this repository that go into the bundle, sorted by their path in it."""
    found: list[Path] = []
    for name in SOURCES:
        path = ROOT / name
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in {".py", ".sql"}]
        files = [each for each in files if each.name not in NOT_BUNDLED]
        if not files:
            raise Permanent(f"{name} is to be bundled, but there is nothing in it")
        found += files
    return sorted(found)


def plugin_files() -> dict[str, Path]:
    """Return the files of the plug-ins' datasets and operations by their path in the bundle. Others do not concern the API.

    Permanent names an import that the bundle cannot serve.
    """
    folder = plugins.folder()
    if folder is None:
        return {}
    found = [folder / "__init__.py", *(path for kind in BUNDLED_KINDS for path in (folder / kind).rglob("*"))]
    found = [each for each in found if each.suffix in {".py", ".sql"} and each.is_file()]
    for each in found:
        if each.suffix == ".py":
            _refuse_imports(each, folder.name)
    base = plugins.BUNDLED.relative_to(ROOT)
    return {(base / folder.name / each.relative_to(folder)).as_posix(): each for each in sorted(found)}


def _refuse_imports(path: Path, package: str) -> None:
    """Raise Permanent for an import of what the bundle does not hold."""
    bundled = {each.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for each in source_files()}
    parts = {each.removesuffix(".__init__") for each in bundled} | {f"{package}.{kind}" for kind in BUNDLED_KINDS}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        modules = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            is_ours = module.partition(".")[0] in ("pipeline_project", package)
            inside = any(module.startswith(f"{package}.{kind}.") for kind in BUNDLED_KINDS)
            if is_ours and module not in parts and not inside:
                raise Permanent(
                    f"{path}:{getattr(node, 'lineno', 1)}: the API function does not hold {module}. Import only "
                    f"pipeline_project.analytics, pipeline_project.schema, {package}.datasets and {package}.operations."
                )


def _fingerprint(target: Target) -> str:
    digest = hashlib.sha256(target.tag().encode())
    for path in [Path(__file__), ROOT / "deploy" / "elf.py", REQUIREMENTS, *source_files()]:
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    for name, path in plugin_files().items():
        content = path.read_bytes()
        digest.update(f"\n{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _is_current(output: Path, fingerprint: str) -> bool:
    try:
        with zipfile.ZipFile(output) as bundle:
            return bundle.comment == fingerprint.encode()
    except (FileNotFoundError, zipfile.BadZipFile):
        return False


def _install(tree: Path, target: Target) -> None:
    command = [_uv(), "pip", "install", "--quiet", "--target", str(tree)]
    command += ["--only-binary", ":all:", "--no-deps", "--requirements", str(REQUIREMENTS)]
    if target.is_host:
        command += ["--python", sys.executable]
    else:
        command += ["--python-version", target.python, "--python-platform", PLATFORMS[target.architecture]]
    _run(command)


def _copy_sources(tree: Path) -> None:
    for path in source_files():
        destination = tree / path.relative_to(ROOT)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, destination)
    # Always there: without the folder, the function would look for installed plug-ins at each cold start.
    (tree / plugins.BUNDLED.relative_to(ROOT)).mkdir(parents=True)
    (tree / plugins.BUNDLED.relative_to(ROOT) / "README").write_text("The plug-ins of this bundle.\n", "utf-8")
    for name, path in plugin_files().items():
        destination = tree / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, destination)


def _remove_left_out(tree: Path) -> None:
    shutil.rmtree(tree / "bin", ignore_errors=True)
    for path in list(tree.rglob("*")):
        if path.name == "__pycache__":
            shutil.rmtree(path)
        elif path.name in LEFT_OUT or path.suffix in LEFT_OUT_SUFFIXES:
            path.unlink(missing_ok=True)


def _strip_libraries(tree: Path) -> None:
    for path in tree.rglob("*.so*"):
        library = path.read_bytes()
        # A new file: uv links the one in its cache into each environment, where running processes have it in memory.
        path.unlink()
        path.write_bytes(stripped(library))


def _compile(tree: Path, target: Target) -> None:
    """Byte-compile without checks at import, which costs a cold start nothing and takes 20-55 % from it.

    Only the target's minor version can do it. A fixed hash seed makes the output the same each time.
    """
    interpreter = sys.executable if target.is_host else _interpreter(target.python)
    if interpreter is None:
        sys.stderr.write(f"Python {target.python} is not installed: the bundle holds no byte code and starts slower\n")
        return
    command = [interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # Tracebacks name the files as they are in Lambda, and this machine's paths stay out.
    _run([*command, "-s", str(tree), "-p", LAMBDA_ROOT, str(tree)], PYTHONHASHSEED="0")


def _interpreter(version: str) -> str | None:
    """A Python of that minor version on this machine."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = subprocess.run(  # noqa: S603
        [_uv(), "python", "find", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or None if found.returncode == 0 else None


def _write_zip(tree: Path, output: Path, fingerprint: str) -> None:
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as bundle:
        files = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EARLIEST_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            bundle.writestr(entry, path.read_bytes())
        bundle.comment = fingerprint.encode()


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise Permanent("uv is not installed (requirements/bootstrap.txt)")
    return found


def _run(command: list[str], **variables: str) -> None:
    done = subprocess.run(  # noqa: S603 fixed commands
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Permanent(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.bundle", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("build/api.zip"))
    parser.add_argument("--architecture", choices=[*PLATFORMS, "host"], default="arm64")
    parser.add_argument("--python", metavar="3.13|host", default="3.13")
    arguments = parser.parse_args()
    written = build(arguments.output, Target(arguments.architecture, arguments.python))
    size = arguments.output.stat().st_size
    sys.stdout.write(f"{arguments.output}: {size:,} bytes, {'written' if written else 'up to date'}\n")


if __name__ == "__main__":
    main()
