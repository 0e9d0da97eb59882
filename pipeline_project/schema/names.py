"""Names of fields as people and systems write them, folded to one form, so that `Annual Revenue` finds `annual_revenue`."""

import re
from functools import lru_cache

_IGNORED = re.compile(r"[\s_.\-]+")


@lru_cache(maxsize=10_000)
def folded(name: str) -> str:
    """Return a name without case, blanks, underscores, hyphens and dots."""
    return _IGNORED.sub("", name).casefold()
