"""Mutations that change nothing a user could notice. The list is equivalent.toml, with a reason for each."""

import tomllib
from pathlib import Path

DATA = Path(__file__).with_name("equivalent.toml")


def equivalents() -> dict[tuple[str, str, str], str]:
    """Read the reasons, by name of the file and by the lines before and after. Folders may change."""
    listed = tomllib.loads(DATA.read_text("utf-8")).get("mutation", [])
    return {(each["file"], each["before"], each["after"]): each["reason"] for each in listed}
