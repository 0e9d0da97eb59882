"""The footer of a Parquet file, read only to find encryption.

Arrow ends the process if it is asked for the metadata of an encrypted column. Therefore the footer is checked first.
It is a struct in Thrift's compact protocol. The field numbers are those of Parquet's format.
"""

from typing import IO

PLAIN, ENCRYPTED = b"PAR1", b"PARE"
"""The first and last bytes of a file. In a file of the second kind, the footer itself is encrypted."""

_LENGTH = 4
_NUMBERS = frozenset({4, 5, 6})
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}
"""Bytes of the types whose values have one length. The value of a boolean field is its type."""
_BINARY, _LIST, _SET, _STRUCT = 8, 9, 10, 12
_DEEPEST = 20
"""Maximum depth. The footer of a valid file has less than half of it."""
_LONGEST_VARINT = 10

_ENCRYPTION = frozenset({(8,), (4, 1, 8), (4, 1, 9)})
"""Field numbers that lead to encryption: the algorithm of the file; key and encrypted metadata of a row group's column."""


def is_encrypted(file: IO[bytes], size: int) -> bool:
    """Check whether a file of `size` bytes, or any column of it, is encrypted.

    Raises ValueError or IndexError if the footer is damaged.
    """
    file.seek(0)
    head = file.read(_LENGTH)
    file.seek(max(size - 2 * _LENGTH, 0))
    tail = file.read()
    if ENCRYPTED in (head, tail[_LENGTH:]):
        return True
    length = int.from_bytes(tail[:_LENGTH], "little")
    if tail[_LENGTH:] != PLAIN or length > size - 3 * _LENGTH:
        raise ValueError
    file.seek(size - 2 * _LENGTH - length)
    return _Compact(file.read(length)).has_encryption(())


class _Compact:
    """A reader of Thrift's compact protocol that skips all values."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def has_encryption(self, path: tuple[int, ...]) -> bool:
        """Read a struct to its end, or to a field of encryption. `path`: the numbers of the fields that it is in."""
        if len(path) > _DEEPEST:
            raise ValueError
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._varint()
            field = (*path, number)
            if field in _ENCRYPTION or self._skip(header & 15, field):
                return True
        return False

    def _skip(self, kind: int, path: tuple[int, ...]) -> bool:
        if self._position > len(self._data):
            raise ValueError
        if kind in _NUMBERS:
            self._varint()
        elif kind in _FIXED:
            self._position += _FIXED[kind]
        elif kind == _BINARY:
            length = self._varint()
            self._position += length
        elif kind in (_LIST, _SET):
            header = self._byte()
            if header & 15 in (_LIST, _SET):  # Parquet has none, and their depth would have no bound
                raise ValueError
            count = self._varint() if header >> 4 == 15 else header >> 4
            # Outside of a field, a boolean takes a byte.
            kind = 3 if header & 15 in (1, 2) else header & 15
            return any(self._skip(kind, path) for _ in range(count))
        elif kind == _STRUCT:
            return self.has_encryption(path)
        else:
            raise ValueError
        return False

    def _byte(self) -> int:
        self._position += 1
        return self._data[self._position - 1]

    def _varint(self) -> int:
        value = 0
        for place in range(_LONGEST_VARINT):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise ValueError
