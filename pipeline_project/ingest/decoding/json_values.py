"""Decode JSON values. Numbers keep all their digits."""

from decimal import Decimal

import msgspec

from pipeline_project.schema.numbers import read_number

UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError, ArithmeticError)
"""Errors of msgspec and Decimal for bytes that are not UTF-8 JSON, or that exceed their limits."""

raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""Decodes an array, and leaves its elements as they are."""
raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""Decodes an object, and leaves the values of its fields as they are."""
decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""Decodes any value. Numbers with a fraction become Decimal, digit by digit. Raises one of UNREADABLE."""
decode_any_number = msgspec.json.Decoder(float_hook=read_number).decode
"""A slower `decode` for numbers with any exponent. A number that Decimal cannot hold becomes infinite."""
