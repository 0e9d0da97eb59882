"""An image without Docker: the steps of a Dockerfile, performed below a folder with this machine's Python."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    instruction: str
    argument: str


def stages(text: str) -> list[list[Step]]:
    """Return the steps of a Dockerfile by stage. Each stage begins with its FROM."""
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line and not line.startswith("#"):
            step = Step(*line.split(maxsplit=1))
            if step.instruction == "FROM":
                found.append([])
            found[-1].append(step)
    return found


def arguments(stage: list[Step], instruction: str) -> list[str]:
    return [step.argument for step in stage if step.instruction == instruction]


class Image(NamedTuple):
    """The file system that the steps made, below `root`."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "opt" / "pipeline" / "bin" / "python"

    @property
    def home(self) -> Path:
        return self.root / "opt" / "dagster"

    def build(self, stage: list[Step], *, context: Path) -> dict[str, str]:
        """Perform the steps COPY and RUN of a stage. Return what the steps ENV set, with the paths of this machine."""
        workdir = next(iter(arguments(stage, "WORKDIR")), "/")
        source = self.root / workdir.lstrip("/")
        source.mkdir(exist_ok=True)
        variables: dict[str, str] = {}
        for step in stage:
            if step.instruction == "COPY":
                *names, target = step.argument.split()
                for name in names:
                    into = target.endswith("/") or len(names) > 1
                    _copy(context / name, _inside(self.root, source, target), into=into)
            elif step.instruction == "RUN":
                command = self._here(step.argument).replace("python -m venv", f"{sys.executable} -m venv")
                environment = {**os.environ, "PATH": f"{self.python.parent}:{os.environ['PATH']}"}
                subprocess.run(["sh", "-ec", command], cwd=source, env=environment, check=True)
            elif step.instruction == "ENV":
                name, _, value = step.argument.partition("=")
                variables[name] = self._here(value)
        return variables

    def _here(self, text: str) -> str:
        return text.replace("/opt/", f"{self.root}/opt/")

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """As in a container: no variables but these, and none of this repository on the path."""
        return subprocess.run(self.command(*command), **self.surroundings(environment), check=False, timeout=120)

    def start(self, *command: str, output: IO[str], **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(self.command(*command), **{**self.surroundings(environment), "stdout": output})

    def command(self, *command: str) -> list[str]:
        return [str(self.python.with_name(command[0])), *command[1:]]

    def surroundings(self, environment: dict[str, str]) -> dict[str, Any]:
        kept = {name: os.environ[name] for name in ("LANG", "no_proxy", "NO_PROXY") if name in os.environ}
        path = f"{self.python.parent}:/usr/bin:/bin"
        variables = {"PATH": path, "DAGSTER_HOME": str(self.home), **kept, **environment}
        return {
            "cwd": self.root / "tmp",
            "env": variables,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }


def _inside(root: Path, source: Path, target: str) -> Path:
    return root / target.lstrip("/") if target.startswith("/") else source / target


def _copy(origin: Path, target: Path, *, into: bool) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    if origin.is_dir():
        shutil.copytree(origin, target, dirs_exist_ok=True, ignore=ignored)
    else:
        (target if into else target.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, target / origin.name if into else target)
