"""Texts of others, made safe for a terminal and for logs."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Write each character that is invisible, or steers a terminal, as an escape: `\x1b`, `\u202e`.

    These are control and format characters (also those that change the direction of a text), line ends and unassigned
    characters. Spaces of all kinds stay. `keep` names others that stay.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep or _is_space(each) else _escape(each) for each in text)


def _is_space(character: str) -> bool:
    # Control characters and line ends are spaces for Python, too.
    return character.isspace() and character not in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
