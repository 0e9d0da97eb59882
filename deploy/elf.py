"""Takes from a shared library what only debuggers read, for any architecture and without binutils.

The loader goes by the program headers alone. What stands behind the last byte they name, debug information, symbols and the
section headers that list them, it never looks at (System V gABI, chapters 4 and 5). The parser that guards custom SQL carries
24 MB of it.
"""

import struct

MAGIC = b"\x7fELF\x02\x01"
"""ELF of 64 bits, little-endian: all that Lambda runs."""
HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
SECTIONS_AT = 40
"""Where the header has e_shoff; e_shentsize, e_shnum and e_shstrndx are its end."""
SECTION_COUNTS_AT = 58


def stripped(library: bytes) -> bytes:
    """The library as far as it is loaded; what is no such library, and what has nothing to take away, as it is."""
    if not library.startswith(MAGIC):
        return library
    _, _, _, _, first, _, _, _, size, count, _, _, _ = HEADER.unpack_from(library)
    end = first + size * count
    for n in range(count):
        _, _, offset, _, _, in_file, _, _ = PROGRAM_HEADER.unpack_from(library, first + n * size)
        end = max(end, offset + in_file)
    kept = bytearray(library[:end])
    struct.pack_into("<Q", kept, SECTIONS_AT, 0)
    struct.pack_into("<HHH", kept, SECTION_COUNTS_AT, 0, 0, 0)
    return bytes(kept)
