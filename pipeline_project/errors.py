"""The two families of errors, and the table of all error codes with their HTTP status and exit code.

The family decides about retries everywhere: ingestion, jobs, function. The code tells programs what happened. A REST problem, a
failed job, a failed file and the exit code of a command all come from the table, and so does docs/reference/errors.md
(error_documentation.py). Messages are written for the person who has to act. They carry no database text, which can quote data.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple


class PipelineError(Exception):
    """Base of all errors that this platform raises on purpose."""

    code: str = ""
    """Key of the error in CODES. Empty: the family decides, because REST and jobs have different codes for it."""


class Permanent(PipelineError):
    """Error that the same input causes again. Correct the input before another try."""


class Transient(PipelineError):
    """Error that may not return: something that the work needs is away or busy."""


class ConfigurationError(Permanent):
    """Error of a setting that is missing or malformed."""


class Exit(IntEnum):
    """Exit codes of `pipeline`."""

    OK = 0
    ERROR = 1
    """The command failed, or a check of the command found something."""
    USAGE = 2
    """The command line is wrong. The library that reads the command line chose this number."""
    JOB_FAILED = 3
    JOB_CANCELLED = 4
    JOB_TIMED_OUT = 5
    JOB_CONTINUES = 6
    """The wait for the job ended before the job did."""
    INTERRUPTED = 130
    """A person or the system stopped the command, as shells report it."""


NOTHING_RUNS = 3
"""Exit code of `pipeline local status` if no platform runs here, as service managers report it."""

OPEN_QUESTIONS = 3
"""Exit code of `pipeline sources draft` while a person has to answer a question."""


class Code(NamedTuple):
    """Meaning of one error code. `title` says what happened and `action` what to do."""

    title: str
    action: str
    request: int | None = None
    """HTTP status, if the REST facade answers a request with the code."""
    gateway: int | None = None
    """HTTP status, if API Gateway answers with the code by itself, before or instead of the facade."""
    job: Exit | None = None
    """Exit code of `pipeline jobs wait`, if the error of a job has the code. Other commands exit with Exit.ERROR."""
    is_of_file: bool = False
    """True if a file can fail with the code."""

    @property
    def status(self) -> int | None:
        return self.request or self.gateway


_FAILED = Exit.JOB_FAILED
_UPLOAD = "Export the file again and upload it."
_REPLAY = "Look for the cause in the logs. Then run `pipeline replay` with the object ID."
_REPORT = "Report the error with its request ID or object ID. The platform or the database is at fault."
_WAIT = "Try again later; `Retry-After` says when."

CODES: Mapping[str, Code] = {
    # Requests. The titles are part of the REST interface.
    "bad_request": Code("The request was refused", "Correct the request.", request=400),
    "malformed_json": Code("The body is not a JSON document this API accepts", "Correct the body.", request=400),
    "invalid_query": Code("The query string is not one this route takes", "Correct the query string.", request=400),
    "invalid_header": Code("A header is malformed", "Correct the header.", request=400),
    "invalid_cursor": Code(
        "The cursor is not one this listing gave out", "Use `next_cursor` of the page before.", request=400
    ),
    "unauthenticated": Code(
        "The request does not say who the caller is", "Send an API key, a signature or a token.", request=401
    ),
    "not_found": Code(
        "There is nothing here", "Check the path and the job ID. Jobs of others are hidden.", request=404
    ),
    "method_not_allowed": Code("This path does not take the method", "Use a method that `Allow` names.", request=405),
    "not_acceptable": Code(
        "The result is not kept in that format", "Submit a job with the format that you want.", request=406
    ),
    "job_not_finished": Code("The job is not at an end yet", _WAIT, request=409),
    "job_without_result": Code("The job ended without a result", "Look at the `error` of the job.", request=409),
    "result_expired": Code("The result is no longer kept", "Submit the job again.", request=410),
    "request_too_large": Code("The request body is too large", "Send at most 64 KB.", request=413),
    "unsupported_media_type": Code(
        "The body must be application/json", "Send `Content-Type: application/json`.", request=415
    ),
    "unknown_operation": Code(
        "There is no such operation", "Use one of `GET /analytics/operations`.", request=422, job=_FAILED
    ),
    "invalid_parameters": Code(
        "The operation does not take these parameters", "Correct the fields in `errors`.", request=422, job=_FAILED
    ),
    "invalid_body": Code(
        "The body is not of the form this route takes", "Correct the fields in `errors`.", request=422
    ),
    "query_refused": Code(
        "The query cannot be run as it is", "Change the query as `detail` says.", request=422, job=_FAILED
    ),
    "idempotency_key_reused": Code(
        "The Idempotency-Key was used for another request", "Use a new key for each request.", request=422
    ),
    "not_inline": Code(
        "This cannot be answered at once; POST it, and it becomes a job", "Send the query with POST.", request=422
    ),
    "too_many_jobs": Code(
        "Too many of your jobs are not at an end", "Wait for the end of a job, or cancel a job.", request=429
    ),
    "internal_error": Code("The service failed to answer", _REPORT, request=500, job=_FAILED, is_of_file=True),
    "unavailable": Code("The service cannot answer now; try again", _WAIT, request=503, job=_FAILED),
    # Answers of API Gateway (deploy/parts/rest.py).
    "forbidden": Code(
        "The caller is not known, or may not do this", "Check the key, signature or token, and its rights.", gateway=403
    ),
    "too_many_requests": Code("Too many requests; try again later", _WAIT, gateway=429),
    "quota_exceeded": Code("The quota of this API key is used up", "Try again on the next day.", gateway=429),
    "timeout": Code("The service did not answer in time", "Submit the query as a job.", gateway=504),
    # Jobs.
    "failed": Code("The job failed", "Correct what `detail` names.", job=_FAILED),
    "timed_out": Code(
        "The job took too long",
        "Narrow the query down, or raise `PIPELINE_JOB_TIMEOUT_SECONDS`.",
        job=Exit.JOB_TIMED_OUT,
    ),
    "never_started": Code(
        "No run of the job began", "Check Dagster with `pipeline health`. Submit the job again.", job=_FAILED
    ),
    "worker_lost": Code(
        "The process of the job died several times", "Check the memory of the run. Narrow the query down.", job=_FAILED
    ),
    # Files.
    "empty": Code("The file has no content", _UPLOAD, is_of_file=True),
    "truncated": Code("The file ends too early", _UPLOAD, is_of_file=True),
    "bad_json": Code("The file is not valid JSON", _UPLOAD, is_of_file=True),
    "trailing_data": Code(
        "Something follows the JSON value of the file", "Remove it, or upload one value in each file.", is_of_file=True
    ),
    "ambiguous_envelope": Code(
        "An object can be read as a record and as an envelope of records",
        "Declare `records` or `record` under `[dialect]`, as the message says.",
        is_of_file=True,
    ),
    "records_elsewhere": Code(
        "The records are in a nested object", "Declare the path that the message names.", is_of_file=True
    ),
    "no_records": Code(
        "The document has no array at the declared path", "Correct `records` under `[dialect]`.", is_of_file=True
    ),
    "nested_too_deeply": Code("The JSON around the records is nested too deeply", "Flatten the file.", is_of_file=True),
    "bad_csv": Code("The file is not valid CSV", _UPLOAD, is_of_file=True),
    "bad_parquet": Code("The Parquet file is damaged, encrypted or contradictory", _UPLOAD, is_of_file=True),
    "bad_encoding": Code(
        "The text of the file is not UTF-8 or UTF-16, or not in the declared encoding",
        'Export the file as UTF-8, or declare its encoding, for example `encoding = "cp1252"`.',
        is_of_file=True,
    ),
    "encoding_mismatch": Code(
        "The text contradicts the declared encoding", "Correct `encoding` under `[dialect]`.", is_of_file=True
    ),
    "no_header": Code(
        "No row of the table names the ID",
        "Add the name of the ID to the source. For a file without header, declare `header_lines = 0` and `columns`.",
        is_of_file=True,
    ),
    "ambiguous_header": Code(
        "A row above the header can be a record", "Declare `skip_lines`, or remove the row.", is_of_file=True
    ),
    "header_changed": Code(
        "A second header in the file has other columns", "Upload the parts as files of their own.", is_of_file=True
    ),
    "duplicate_column": Code(
        "Two columns have the name of one field", "Rename one of them, or declare `columns`.", is_of_file=True
    ),
    "ambiguous_delimiter": Code(
        "The delimiter of the file is not certain", "Declare `delimiter` under `[dialect]`.", is_of_file=True
    ),
    "ambiguous_escape": Code(
        "It is not certain whether backslashes escape quotes", "Declare `escape` under `[dialect]`.", is_of_file=True
    ),
    "missing_column": Code(
        "The file lacks a column that the source requires",
        "Export the file with the column, or remove the name from `require` under `[dialect]`.",
        is_of_file=True,
    ),
    "binary_column": Code(
        "A column of a field holds bytes that are no text", "Export the column as text.", is_of_file=True
    ),
    "not_data": Code(
        "The file describes other files and has no records",
        "Remove it, or declare `ignore_keys` under `[dialect]`.",
        is_of_file=True,
    ),
    "no_key_field": Code(
        "The key has no folder for a declared field",
        "Upload the file below such a folder, or correct `key_fields` under `[dialect]`.",
        is_of_file=True,
    ),
    "bad_archive": Code(
        "The ZIP archive is damaged or encrypted, or has more than one file",
        "Upload each file by itself, or one file in each archive.",
        is_of_file=True,
    ),
    "bad_workbook": Code(
        "The workbook cannot be read", "Save the workbook again, or export it as CSV.", is_of_file=True
    ),
    "several_sheets": Code(
        "Several sheets of the workbook have rows", "Declare `sheet` under `[dialect]`.", is_of_file=True
    ),
    "no_sheet": Code("The workbook lacks the declared sheet", "Correct `sheet` under `[dialect]`.", is_of_file=True),
    "bad_compression": Code("The compressed file is damaged", _UPLOAD, is_of_file=True),
    "packed_twice": Code("The file is compressed twice", "Compress the file once.", is_of_file=True),
    "unknown_format": Code(
        "The file has no supported format", "Export the file as JSON, NDJSON, CSV or Parquet.", is_of_file=True
    ),
    "too_large": Code("The file or a part of the file is too large", "Split the file.", is_of_file=True),
    "wrong_source": Code("The file names another source than its folder", "Move the file.", is_of_file=True),
    "count_mismatch": Code("The declared number of records is not the number found", _UPLOAD, is_of_file=True),
    "total_mismatch": Code("A declared total is not the sum of the records", _UPLOAD, is_of_file=True),
    "bad_snapshot": Code(
        "The name or the time of the snapshot cannot be read", "Correct the key or the file.", is_of_file=True
    ),
    "too_many_rejects": Code(
        "Too many records of the file are invalid",
        "Correct the records that `pipeline rejects list` shows.",
        is_of_file=True,
    ),
    "ambiguous_number": Code(
        "A column of numbers can be read in two ways",
        "Declare `decimal` and `group` in the dialect of the source.",
        is_of_file=True,
    ),
    "column_unreadable": Code(
        "Too many values of a column cannot be read",
        "Declare how the source writes them, in its dialect.",
        is_of_file=True,
    ),
    "gone": Code("The file was deleted before it was loaded", "Upload the file again.", is_of_file=True),
    "overwritten": Code(
        "The file was overwritten before it was loaded", "Nothing: the new content is loaded.", is_of_file=True
    ),
    "storage": Code("S3 failed in all attempts", _REPLAY, is_of_file=True),
    "database_busy": Code("PostgreSQL failed in all attempts", _REPLAY, is_of_file=True),
    "crashed": Code("The file ended the process that read it", "Export the file in another format.", is_of_file=True),
    "out_of_memory": Code("The file needed more memory than allowed", "Split the file.", is_of_file=True),
    "took_too_long": Code("The file took longer than allowed", "Split the file.", is_of_file=True),
    "gave_up": Code("The worker died in all attempts", _REPLAY, is_of_file=True),
    "refused_by_database": Code("PostgreSQL refused the data of the file", _REPORT, is_of_file=True),
}
