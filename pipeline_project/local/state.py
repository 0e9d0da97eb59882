"""The state folder `.pipeline/`: its paths, its lock, and the ports and passwords that are made once and kept there."""

import fcntl
import hashlib
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from psycopg.conninfo import make_conninfo

from pipeline_project.database import Role
from pipeline_project.errors import PipelineError
from pipeline_project.local import disk
from pipeline_project.local.postgres import HOST, free_port
from pipeline_project.settings import STACK_ENVIRONMENT_FILE, Settings

# What people expect to find where; the database is not on 5432, where a system's own server may come and go.
PREFERRED_PORTS = {"dagster": 3000, "aws": 4566, "postgres": 54320}
DATABASE = "pipeline"
ROLES: tuple[Role, ...] = ("owner", "loader", "reader")
LOGINS = ("postgres", *ROLES, "dagster", "aws")


class AlreadyRunning(PipelineError):
    """Another process has the state folder. `holder` is what it wrote down."""

    def __init__(self, holder: "Holder") -> None:
        super().__init__(f"already running as process {holder.pid}")
        self.holder = holder


class Holder(msgspec.Struct, frozen=True):
    """Who runs the platform of a state folder."""

    pid: int
    addresses: dict[str, str] = {}
    """Label to URL, once they are known."""


@dataclass(frozen=True)
class State:
    """A state folder, absolute. Only its owner can read it."""

    folder: Path

    @classmethod
    def of_working_folder(cls) -> "State":
        """`.pipeline` where the process was started: the same place in which `Settings.load` looks."""
        return cls(STACK_ENVIRONMENT_FILE.parent.resolve())

    def make_folders(self) -> None:
        for folder in (self.folder, self.logs, self.dagster_home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def identity(self) -> tuple[int, int] | None:
        """What tells the folder from another in its place; None if there is none."""
        try:
            found = self.folder.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @property
    def stack_environment(self) -> Path:
        return self.folder / STACK_ENVIRONMENT_FILE.name

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def aws(self) -> Path:
        return self.folder / "aws"

    @property
    def dagster_home(self) -> Path:
        return self.folder / "dagster"

    @property
    def password_file(self) -> Path:
        """For libpq."""
        return self.folder / "pgpass"

    @property
    def secret_access_key(self) -> Path:
        """Return the file for the emulator."""
        return self.folder / "secret-access-key"

    @property
    def bundle(self) -> Path:
        return self.folder / "api.zip"

    @property
    def supervisor_configuration(self) -> Path:
        return self.folder / "supervisord.conf"

    @property
    def sockets(self) -> Path:
        """Folder of the unix sockets: a path of theirs has at most 107 characters, however deep this folder lies."""
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"pipeline-{os.geteuid()}-{digest}"

    def make_sockets(self) -> None:
        """Make that folder. It lies where everybody may write, so one that is not ours alone is refused."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        status = self.sockets.lstat()
        if self.sockets.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PipelineError(f"{self.sockets} belongs to somebody else; remove it")

    # --- the lock

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if need be, for this process. AlreadyRunning when another one has it."""
        self.make_folders()
        with (self.folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(self.holder() or Holder(0)) from None
            self.announce({})
            try:
                yield
            finally:
                (self.folder / "running.json").unlink(missing_ok=True)

    def announce(self, addresses: Mapping[str, str]) -> None:
        """Tell others who holds the folder and where its parts are."""
        write_private(self.folder / "running.json", msgspec.json.encode(Holder(os.getpid(), dict(addresses))))

    def holder(self) -> Holder | None:
        """Who holds the folder now; None if nobody does."""
        try:
            with (self.folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise PipelineError(disk.explained(error, self.folder)) from error
        except BlockingIOError:
            try:
                return msgspec.json.decode((self.folder / "running.json").read_bytes(), type=Holder)
            except FileNotFoundError:
                return Holder(0)
        return None

    # --- what is generated once, and what follows from it

    def psql_conninfo(self, role: Role) -> str:
        """A connection string without a password, which libpq takes from our password file."""
        try:
            port = json.loads((self.folder / "ports.json").read_bytes())["postgres"]
        except FileNotFoundError:
            raise PipelineError("nothing was ever started here: `make run`") from None
        user = f"pipeline_{role}"
        return make_conninfo(host=HOST, port=port, dbname=DATABASE, user=user, passfile=str(self.password_file))

    def read_settings(self) -> bytes | None:
        """What `write_settings` wrote; None before the first time."""
        return self.stack_environment.read_bytes() if self.stack_environment.exists() else None

    def write_settings(self, settings: Settings) -> None:
        """For `Settings.load`, in our servers and in other terminals."""
        lines = [f"{name}={value}\n" for name, value in settings.environment_variables().items()]
        write_private(self.stack_environment, "".join(lines).encode())

    def write_password_file(self) -> None:
        passwords = self.passwords()
        lines = [f"{HOST}:*:{DATABASE}:pipeline_{role}:{passwords[role]}\n" for role in ROLES]
        write_private(self.password_file, "".join(lines).encode())

    def write_secret_access_key(self) -> None:
        """Write what the emulator verifies signatures with."""
        write_private(self.secret_access_key, self.passwords()["aws"].encode())

    def passwords(self) -> dict[str, str]:
        """Return the passwords of LOGINS; that of `aws` is the secret access key."""
        path = self.folder / "passwords.json"
        known = json.loads(path.read_bytes()) if path.exists() else {}
        passwords = {login: known.get(login) or secrets.token_urlsafe(18) for login in LOGINS}
        if passwords != known:
            write_private(path, json.dumps(passwords).encode())
        return passwords

    def ports(self) -> tuple[dict[str, int], list[str]]:
        """A free port for each part, the one of last time where possible; and a line for each that had to move."""
        path = self.folder / "ports.json"
        known = json.loads(path.read_bytes()) if path.exists() else {}
        ports: dict[str, int] = {}
        moves: list[str] = []
        for part, preferred in PREFERRED_PORTS.items():
            port = wanted = known.get(part, preferred)
            while port in ports.values() or not is_free(port):
                port = free_port()
            ports[part] = port
            if port != wanted:
                moves.append(f"port {wanted} is taken by another program: {part} is on {port} now")
        if ports != known:
            write_private(path, json.dumps(ports).encode())
        return ports, moves


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do it: a connection that ended a moment ago does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def write_private(path: Path, content: bytes) -> None:
    """Replace the file whole; nobody else can read it at any moment."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.replace(path)
