"""Sizes that bound the memory of decoding. Modules read them from here at each use, so there is one place to change them."""

WINDOW = 1024 * 1024
"""Size of the window in bytes, and the maximum size of a chunk. Cutting a window is one step in C that holds the GIL:
a larger window would let the thread of PostgreSQL wait longer."""
CHUNK_RECORDS = 10_000
"""Maximum number of records in a chunk."""
RECORD_LIMIT = 16 * 1024 * 1024
"""Maximum size of a record in bytes. A larger record is rejected. An object up to this size is decoded in one step."""
RAW_LIMIT = 64 * 1024
"""Number of bytes that are kept of a record that is too large."""
FIELD_LIMIT = 1024 * 1024
"""Maximum length of a cell of a table, in characters."""
