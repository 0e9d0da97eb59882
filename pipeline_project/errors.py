"""The two error families: Permanent (do not retry: mend the input) and Transient (try again later).

The family decides about retries everywhere: ingest, jobs, Lambda. Messages are written for the person who has to act
and carry no database text, since that can quote data.
"""


class PipelineError(Exception):
    """Base of all errors that this platform raises on purpose."""

    code: str = ""
    """Stable name for programs, the same in a REST problem and in a job's record. Empty: the family decides."""


class Permanent(PipelineError):
    """The same input will fail again."""


class Transient(PipelineError):
    """The same input may succeed later: something it needs is away or busy."""


class ConfigurationError(Permanent):
    """A setting is missing or malformed."""
