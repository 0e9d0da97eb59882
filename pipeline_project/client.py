"""A client of the REST facade: `Client(url).submit("revenue_analysis", {"top_n": 3})`. It needs no Dagster.

Every call is safe to repeat and is repeated when the service is away or busy: submissions carry an Idempotency-Key.
Documents come as the API gives them (docs/api.md), as dicts. Numbers keep their digits: fractions are decimals both ways.
"""

import contextlib
import hashlib
import http.client
import random
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlencode

from pipeline_project import exact_json
from pipeline_project.errors import Permanent, Transient

Document = dict[str, Any]
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT")
BUSY = (429, 502, 503, 504)
LONG_POLL_SECONDS = 20
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0
CHUNK_BYTES = 256 * 1024


class ApiError(Permanent):
    """The API refused. `code` is the stable one of its problem document, which `problem` is."""

    def __init__(self, status: int, problem: Document) -> None:
        listed = "; ".join(f"{each['field']}: {each['message']}" for each in problem.get("errors", []))
        detail = problem.get("detail") or f"HTTP {status}"
        super().__init__(detail if not listed or listed in detail else f"{detail} ({listed})")
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", ""))


class ApiUnavailable(Transient):
    """The API was away or busy, again and again."""


class DamagedDownload(Permanent):
    """What arrived is not what the job's record says."""


class Reply(NamedTuple):
    status: int
    headers: Message
    document: Document


class Client:
    """Of one API. Not for several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 40,
        tries: int = 6,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url` with the stage, as `make run` prints it; `timeout` of one call, in seconds."""
        self._url = url.rstrip("/")
        self._headers = {"X-Api-Key": api_key} if api_key else {}
        self._timeout = timeout
        self._tries = tries
        self._sleep = sleep
        self._opener = urllib.request.build_opener(_NoRedirects)

    def operations(self) -> list[Document]:
        """What can be asked, with parameters and an example each."""
        return self._call("GET", "/analytics/operations").document["operations"]

    def ask(self, operation: str, parameters: Mapping[str, Any] | None = None) -> Document:
        """The answer with its `rows`; or a job (with a `state`), if it is long or large."""
        # The key is for the job that it may become.
        return self._call("POST", "/analytics", _question(operation, parameters), _once()).document

    def submit(
        self,
        operation: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        result_format: str = "json",
        idempotency_key: str | None = None,
    ) -> Document:
        """The new job. The same `idempotency_key` gives the same job again."""
        body = {**_question(operation, parameters), "format": result_format}
        return self._call("POST", "/analytics/jobs", body, _once(idempotency_key)).document

    def job(self, job_id: str, *, wait: int = 0) -> Document:
        """The job as it stands, or at its end if that comes within `wait` seconds (at most 25)."""
        return self._call("GET", f"/analytics/jobs/{job_id}?wait={wait}").document

    def jobs(self, **filters: Any) -> Iterator[Document]:
        """Your jobs, newest first. Filters: state (one or several), operation, created_from, created_before."""
        while True:
            page = self._call("GET", f"/analytics/jobs?{urlencode(filters, doseq=True)}").document
            yield from page["jobs"]
            if page["next_cursor"] is None:
                return
            filters["cursor"] = page["next_cursor"]

    def wait(
        self, job_id: str, *, timeout: float | None = None, on_look: Callable[[Document], None] | None = None
    ) -> Document:
        """The job at its end, or as it stands after `timeout` seconds. `on_look` is shown it each time it was looked at."""
        deadline = None if timeout is None else time.monotonic() + timeout
        # Short at first: most jobs are, and whoever watches wants to see it begin.
        seconds = 1
        while True:
            left = seconds if deadline is None else min(seconds, max(0, int(deadline - time.monotonic())))
            job = self.job(job_id, wait=left)
            if on_look:
                on_look(job)
            if job["state"] in FINAL_STATES or (deadline is not None and time.monotonic() >= deadline):
                return job
            if left == 0:
                self._sleep(0.2)
            seconds = min(2 * seconds, LONG_POLL_SECONDS)

    def cancel(self, job_id: str) -> Document:
        """The job, CANCELLED or about to be; unchanged if it was at its end."""
        return self._call("POST", f"/analytics/jobs/{job_id}/cancel").document

    def download(self, job_id: str, path: Path, *, on_bytes: Callable[[int, int], None] | None = None) -> Path:
        """Write the result to `path`. `on_bytes` is told how many bytes of how many are there.

        What was interrupted, in this call or an earlier one, goes on where it stopped (`<path>.part`). The file takes
        its name only when its size and SHA-256 are those of the job's record; else DamagedDownload.
        """
        expected = self.job(job_id)["result"] or {}
        part = path.with_name(f"{path.name}.part")
        for attempt in range(1, self._tries + 1):
            # Raises ApiError that says why, if there is no result.
            link = self._call("GET", f"/analytics/jobs/{job_id}/result").headers["Location"]
            try:
                self._fetch(link, part, expected["bytes"], on_bytes)
                break
            except (OSError, http.client.HTTPException) as error:
                # The link may have expired, too: the next try has a fresh one.
                if attempt == self._tries:
                    raise ApiUnavailable(f"the download stops again and again; {part} has what came") from error
                self._sleep(_pause(attempt))
        if part.stat().st_size != expected["bytes"] or _sha256(part) != expected["sha256"]:
            part.unlink()
            raise DamagedDownload(f"{path.name} is not what job {job_id} wrote; it was deleted: download it again")
        return part.replace(path)

    def _fetch(self, link: str, part: Path, size: int, on_bytes: Callable[[int, int], None] | None) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have >= size:
            return
        # Not through `_call`: the key is for the API and not for the file's server.
        request = urllib.request.Request(link, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
            goes_on = response.status == 206
            with part.open("ab" if goes_on else "wb") as file:
                have = have if goes_on else 0
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)
                    have += len(chunk)
                    if on_bytes:
                        on_bytes(have, size)
        if have < size:
            raise ConnectionError("the connection was closed early")

    def _call(
        self, method: str, path: str, body: Document | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Raises ApiError, or ApiUnavailable when all tries are used up."""
        data = None if body is None else exact_json.encode(body)
        content = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 the address is the caller's
            self._url + path, data, {**self._headers, **content, **(headers or {})}, method=method
        )
        reason = ""
        for attempt in range(1, self._tries + 1):
            pause = _pause(attempt)
            try:
                with self._opener.open(request, timeout=self._timeout) as response:
                    return Reply(response.status, response.headers, _document(response))
            except urllib.error.HTTPError as error:
                with error:
                    document = _document(error)
                if error.code not in BUSY:
                    raise ApiError(error.code, document) from None
                reason = str(document.get("detail") or f"HTTP {error.code}")
                with contextlib.suppress(ValueError):
                    pause = max(pause, float(error.headers.get("Retry-After") or 0))
            except (OSError, http.client.HTTPException) as error:
                reason = str(getattr(error, "reason", error))
            if attempt < self._tries:
                self._sleep(min(pause, LONGEST_PAUSE_SECONDS))
        raise ApiUnavailable(f"{self._url} could not answer: {reason}")


class _NoRedirects(urllib.request.HTTPErrorProcessor):
    """Redirects are answers like others: they lead to files, which are fetched in another way."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response if response.status == 303 else super().http_response(request, response)

    https_response = http_response


def _once(idempotency_key: str | None = None) -> dict[str, str]:
    """Headers by which a repeated call does not make a second job."""
    return {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}


def _question(operation: str, parameters: Mapping[str, Any] | None) -> Document:
    return {"operation": operation, "parameters": dict(parameters or {})}


def _document(response: IO[bytes]) -> Document:
    content = response.read()
    try:
        found = exact_json.decode(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _pause(attempt: int) -> float:
    """Exponential, with jitter so that clients that failed together do not come back together."""
    return min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
