"""Text from outside (names of the source, file names, errors of other systems), for each kind of output: it never acts.

Terminals obey control characters, Markdown loads images, chats call everybody, mail programs make links. Pages are
escaped by their templates, and JSON by its encoder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

LONGEST = 4000
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_TAME = re.compile(r"(?:[^\W_]|[ ,;()'/%-]|[.:?!](?= |$))*")
_CHAT = str.maketrans("`<>", "'()")


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number of things with the right noun: `1 hour`, `1,234 hours`, `2 bodies`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def for_line(text: object, longest: int = LONGEST) -> str:
    r"""One line for terminals, logs and subjects of mail.

    White space becomes spaces. What steers a terminal or the direction of writing, or can't be seen, becomes its escape
    (`\x1b`, `\u202e`).
    """
    plain = str(text)
    if len(plain) > longest:
        plain = f"{plain[:longest]}..."
    if plain.isprintable():
        return plain
    return "".join(
        each if each.isprintable() else " " if each.isspace() else each.encode("unicode_escape").decode()
        for each in plain
    )


def for_markdown(text: object) -> str:
    """Markdown that shows the text as it is: no image, link, heading, cell or HTML, and no address made a link."""
    return _PUNCTUATION.sub(r"\\\1", for_line(text))


def for_chat(text: object) -> str:
    """A line in which Slack, Mattermost and others see no link, image or mention: a code span, if it has odd signs."""
    line = for_line(text)
    return line if _TAME.fullmatch(line) else f"`{line.translate(_CHAT)}`"


def for_mail(text: object) -> str:
    """A line of plain text in which a mail program finds no address to make a link of."""
    return re.sub(r"(?i):(?=//)|(?<=www)\.", lambda found: f"[{found[0]}]", for_line(text))


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """A table in which no text is a formula to a spreadsheet: one that begins like it gets an apostrophe before it."""
    import polars as pl  # noqa: PLC0415 - commands that make no table start without it

    return frame.with_columns(pl.col(pl.String).str.replace(r"^([=+\-@\t\r])", "'$1"))


def for_csv(frame: pl.DataFrame) -> bytes:
    """A table as CSV, see `without_formulas`."""
    return without_formulas(frame).write_csv().encode()
