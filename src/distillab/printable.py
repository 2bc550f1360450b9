"""Text for people: numbers with their nouns, and names made safe to show, whatever bytes they hold."""

from __future__ import annotations

import json
import re

# Control characters, marks that reorder text (Unicode's Bidi_Control), characters without a width or with a
# line break, and surrogates: undecodable bytes of a file name, which no encoding can write. The joiners
# U+200C and U+200D stay, which Persian, Hindi and emoji need.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, keep: str = "") -> str:
    r"""Return text in which every character that is not safe to show is written as an escape.

    These are control characters (line breaks, ANSI sequences of terminals), marks that reorder text,
    invisible characters, and the bytes of a file name that are not UTF-8. Letters of every script stay.

    Args:
        text: Any text.
        keep: Characters that stay as they are, such as ``"\n"``.

    Example:
        >>> print(printable("caf\udce9\tred\x1b[31m\u202egnp.exe"))
        caf\xe9\tred\x1b[31m\u202egnp.exe
        >>> printable("naïve 猫 שלום 👩‍👧")
        'naïve 猫 שלום 👩\u200d👧'
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def printable_json(value: object, indent: int | None = 1) -> str:
    r"""Return JSON in which every character that is not safe to show is written as an escape of JSON.

    Args:
        value: A JSON-able value.
        indent: Spaces per level; None for one line.

    Example:
        >>> print(printable_json({"class": "red\u202e\x9b31m"}, indent=None))
        {"class": "red\u202e\u009b31m"}
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it in a file name
        code -= 0xDC00
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def counted(number: int, noun: str) -> str:
    """Return a number with its regular noun.

    Example:
        >>> counted(1, "pair"), counted(6, "pair"), counted(2_000, "class")
        ('1 pair', '6 pairs', '2000 classes')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a regular noun.

    Example:
        >>> plural("pair"), plural("class")
        ('pairs', 'classes')
    """
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"
