"""What a Parquet file says of itself is checked: checksums, counts, times, encryption."""

import struct
import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

from pipeline_project.ingest.decoding.parquet_footer import is_encrypted
from pipeline_project_tests.records import fault, read

TABLE = pa.table({"id": ["1", "2", "3"], "name": ["Alder Works", "Birch", "Cedar"], "n": [1, 2, 3]})
LARGEST = 2**63 - 1


def written(table: pa.Table, **how: Any) -> bytes:
    file = BytesIO()
    pq.write_table(table, file, **how)
    return file.getvalue()


def values(data: bytes) -> list[Any]:
    return [record.get("x") for record in read(data)[1]]


# --- checksums


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_page_that_its_checksum_does_not_fit_is_refused(dictionary: bool) -> None:
    how = {"compression": "none", "use_dictionary": dictionary, "write_statistics": False}
    data = written(TABLE, write_page_checksum=True, **how)
    assert [record["name"] for record in read(data)[1]] == ["Alder Works", "Birch", "Cedar"]
    at = data.index(b"Alder Works")
    assert fault(data[:at] + b"Amder Works" + data[at + 11 :]).code == "bad_parquet"


def test_a_file_without_checksums_is_read() -> None:
    assert len(read(written(TABLE, write_page_checksum=False))[1]) == 3


# --- counts


def with_footer(data: bytes, change: Any) -> bytes:
    """The file with a changed footer."""
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = change(data[-8 - length : -8])
    return data[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def number(value: int) -> bytes:
    """An integer of Thrift's compact protocol, up to 63."""
    return bytes([value << 1])


def test_rows_that_the_footer_declares_and_the_file_lacks_are_missed() -> None:
    data = written(pa.table({"id": [str(each) for each in range(23)]}))
    # Field 3 of the footer, an integer of 64 bits, is the number of rows. Field 4, a list of structs, follows.
    rows = b"\x16" + number(23) + b"\x19\x1c"
    assert data.count(rows) == 1
    refused = fault(data.replace(rows, b"\x16" + number(29) + b"\x19\x1c"))
    assert refused.code == "count_mismatch"
    assert "29" in refused.message
    assert "23" in refused.message


def test_a_column_that_declares_fewer_values_than_rows_is_refused() -> None:
    columns = {"id": [str(each) for each in range(23)], "n": list(range(23))}
    data = written(pa.table(columns), compression="none", store_schema=False)
    # Field 5 of a column, its number of values, follows field 4, its compression.
    values_of_column = b"\x15\x00\x16" + number(23)
    assert data.count(values_of_column) == 2
    at = data.rindex(values_of_column)
    changed = data[:at] + b"\x15\x00\x16" + number(5) + data[at + 4 :]
    assert fault(changed).code == "count_mismatch"


def test_row_groups_that_lie_about_all_counts_alike_are_missed() -> None:
    """Each count of the footer says 29, and the pages hold 23."""
    data = written(pa.table({"id": [str(each) for each in range(23)]}), compression="none")
    changed = with_footer(data, lambda footer: footer.replace(b"\x16" + number(23), b"\x16" + number(29)))
    assert changed != data
    assert fault(changed).code in ("count_mismatch", "bad_parquet")


# --- times


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("year", [1, 1600, 1969, 2025, 2300, 9999])
def test_times_of_the_old_type_keep_their_century(year: int, nested: bool) -> None:
    moment = datetime(year, 12, 31, 12, 30, 15, 123456)  # noqa: DTZ001 of Parquet without a zone
    column = pa.array([moment, None], pa.timestamp("us"))
    shown = f"{year:04}-12-31 12:30:15.123456"
    if nested:
        column = pa.StructArray.from_arrays([column], ["t"])
    data = written(pa.table({"id": ["1", "2"], "x": column}), use_deprecated_int96_timestamps=True)
    assert values(data) == ([{"t": shown}, {"t": None}] if nested else [shown, None])


def test_a_time_of_the_old_type_beyond_microseconds_is_refused() -> None:
    stamp = struct.pack("<qI", 0, 2_460_000)
    column = pa.array([datetime(2023, 2, 24)], pa.timestamp("us"))  # noqa: DTZ001 of Parquet without a zone
    how = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    data = written(pa.table({"id": ["1"], "x": column}), use_deprecated_int96_timestamps=True, **how)
    assert data.count(stamp) == 1
    refused = fault(data.replace(stamp, struct.pack("<qI", 0, 2**32 - 1)))
    assert refused.code == "bad_parquet"
    assert "'x'" in refused.message


@pytest.mark.parametrize("wrap", [lambda column: column, lambda column: pa.StructArray.from_arrays([column], ["t"])])
def test_a_time_in_milliseconds_does_not_wrap_in_microseconds(wrap: Any) -> None:
    column = pa.array([1_735_689_600_000, LARGEST, -LARGEST, LARGEST // 1000 + 1, None], pa.timestamp("ms", "UTC"))
    data = written(pa.table({"id": list("12345"), "x": wrap(column)}))
    found = [each["t"] if isinstance(each, dict) else each for each in values(data)]
    assert found[0].startswith("2025-01-01 00:00:00.000")
    assert str(LARGEST) in found[1]
    assert str(-LARGEST) in found[2]
    assert str(LARGEST // 1000 + 1) in found[3]
    assert found[4] is None


def test_a_time_in_milliseconds_within_bounds_is_shown_in_microseconds() -> None:
    column = pa.array([datetime(2025, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "UTC"))
    assert values(written(pa.table({"id": ["1"], "x": column}))) == ["2025-01-01 00:00:00.000000"]


# --- encryption


class Kms(encryption.KmsClient):
    """Keys that are not wrapped at all."""

    def __init__(self, _config: Any) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, _master_key_identifier: str) -> bytes:
        return key_bytes

    def unwrap_key(self, wrapped_key: bytes, _master_key_identifier: str) -> bytes:
        return wrapped_key


def encrypted(**how: Any) -> bytes:
    factory = encryption.CryptoFactory(Kms)
    configuration = encryption.EncryptionConfiguration(footer_key="footer", **how)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    return written(TABLE, encryption_properties=properties)


@pytest.mark.parametrize("plaintext_footer", [False, True])
def test_encryption_is_named(plaintext_footer: bool) -> None:
    data = encrypted(column_keys={"key": ["name"]}, plaintext_footer=plaintext_footer)
    refused = fault(data)
    assert refused.code == "bad_parquet"
    assert "encrypted" in refused.message


def test_an_encrypted_column_does_not_end_the_process() -> None:
    """Also without the mark of encryption at the end of the footer: Arrow aborts at the column itself."""
    data = encrypted(column_keys={"key": ["name"]}, plaintext_footer=True)
    code = "import sys; from pipeline_project_tests.records import fault; print(fault(sys.stdin.buffer.read()).message)"
    done = subprocess.run([sys.executable, "-c", code], check=False, input=data, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    assert b"encrypted" in done.stdout


def test_a_csv_whose_first_field_begins_like_encrypted_parquet_is_a_csv() -> None:
    assert read(b"PARENT,id\n1,2\n")[:2] == ("csv", [{"PARENT": "1", "id": "2"}])


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_a_plain_footer_is_not_encrypted(rows: int) -> None:
    column = pa.array([[{"a": 1.5, "b": True}]] * rows, pa.list_(pa.struct({"a": pa.float64(), "b": pa.bool_()})))
    many = {f"c{number}": column for number in range(40)}
    table = pa.table(many).replace_schema_metadata({"note": "x" * 300})
    data = written(table, row_group_size=100)
    assert not is_encrypted(BytesIO(data), len(data))


def test_a_damaged_footer_is_refused_in_time_that_its_bytes_bound() -> None:
    data = written(TABLE)
    for filling in (b"\xff", b"\x1c", b"\x19", b"\x18", b"\x00", b"\x1b", b"\x99"):
        assert fault(with_footer(data, lambda _, filling=filling: filling * 300_000)).code == "bad_parquet"
