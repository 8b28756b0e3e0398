"""From the bytes of a landed file to its rows as text: a file that is not the table it claims to be is refused here.

Lines are split one by one: a stray quote then spoils its own line and not the rest of the file, and every row keeps the
line number that an editor shows. What the rows say is judged in `cleaning`.
"""

import codecs
import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mlops_assets.churn import schemas
from mlops_assets.churn.schemas import RawRows, fields

SOURCE = tuple(fields(RawRows))
OUR_NAME = {theirs: ours for ours, (theirs, _) in schemas.PUBLIC_EXPORT.items()}


class FileRefused(ValueError):  # noqa: N818 - a refusal is what happened, and what callers say
    """A landed file that cannot be read as the table it claims to be; `file` names it, the message says what next."""

    def __init__(self, file: str, what: str, next_step: str) -> None:
        """`what` is wrong with `file`, and the step that repairs it."""
        super().__init__(f"{file}: {what} {next_step}")
        self.file = file


@dataclass(frozen=True, slots=True)
class News:
    """Something new that is no fault; `rows` is how many rows show it, 0 where it concerns the whole file."""

    kind: str
    column: str
    detail: str
    rows: int


@dataclass(frozen=True, slots=True)
class Landed:
    """A file that could be read: its rows as `RawRows`, and what is new about it."""

    rows: pd.DataFrame
    news: tuple[News, ...]


def read_landed(content: bytes, *, file: str, columns: Sequence[str]) -> Landed:
    """The rows of a landed CSV file in either form, under our column names, every cell as text.

    `columns` must be there; others are kept and told as news. Raises FileRefused.
    """
    text, news = decode(content, file=file)
    lines = text.split("\n")
    header = read_header(lines[0], file=file, columns=columns)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    found = [split_line(line, len(header)) for line in lines[1:]]
    blank: list[str | None] = [None] * len(header)
    rows = [
        (*(cells or blank), file, digest, number, None if cells else line)
        for number, (line, cells) in enumerate(zip(lines[1:], found, strict=True), start=2)
        if line.strip()
    ]
    if not rows:
        raise FileRefused(file, "it has a header and no rows.", "Export it again; an empty month is not landed at all.")
    table = pd.DataFrame(rows, columns=[*header, *SOURCE]).astype({"source_line": "int64"})
    known = {*OUR_NAME.values(), *columns, *schemas.OPTIONAL_OUTCOME_COLUMNS}
    extra = [
        News("extra column", name, "not in the contract; kept in raw only", 0) for name in header if name not in known
    ]
    return Landed(table, (*news, *extra))


def decode(content: bytes, *, file: str) -> tuple[str, tuple[News, ...]]:
    """Text of the file with plain line ends, and what was odd about its bytes. Raises FileRefused."""
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise FileRefused(file, "it is empty.", "Export it again.")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRefused(file, "it is UTF-16.", "Save it as UTF-8.")
    if b"\0" in content:
        raise FileRefused(file, "it is no CSV but binary data.", "Export it as comma-separated text in UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        what = f"it is not UTF-8 (byte {error.start}, line {line})."
        raise FileRefused(file, what, "Save it as UTF-8.") from None
    news = []
    if content.startswith(codecs.BOM_UTF8):
        news.append(News("byte order mark", "", "the file starts with a BOM; read as UTF-8", 0))
    if "\r\n" in text:
        news.append(News("CRLF line ends", "", "read as plain line ends", 0))
    text = text.replace("\r\n", "\n")
    if "\r" in text and "\n" not in text:
        raise FileRefused(file, "its lines end in CR alone.", "Save it with LF or CRLF line ends.")
    return text, tuple(news)


def read_header(line: str, *, file: str, columns: Sequence[str]) -> list[str]:
    """Our names for the columns of the file, foreign ones as they are. Raises FileRefused."""
    cells = split_line(line, None) or [line]
    header = [OUR_NAME.get(name.strip(), name.strip()) for name in cells]
    if len(header) == 1:
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if delimiter in line:
                raise FileRefused(file, f"its fields are separated by {name}.", "Export it with commas.")
    if not set(header) & {*OUR_NAME.values(), *columns}:
        what = f"its first line is no header of such a table: {line[:60]!r}."
        raise FileRefused(file, what, "Export it as comma-separated text, the header of docs/data.md first.")
    if missing := [name for name in columns if name not in header]:
        aka = [f"{name} (or {schemas.PUBLIC_EXPORT[name][0]})" for name in missing]
        raise FileRefused(
            file, f"columns are missing: {', '.join(aka)}.", "Export it with all columns of docs/data.md."
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise FileRefused(file, f"columns appear twice: {', '.join(map(repr, twice))}.", "Leave one of each.")
    if reserved := [name for name in header if name in SOURCE]:
        raise FileRefused(file, f"columns have reserved names: {', '.join(reserved)}.", "Rename or drop them.")
    return header


def split_line(line: str, width: int | None) -> list[str] | None:
    """Cells of one line of CSV; None where it cannot be split or has not `width` of them."""
    try:
        cells = next(csv.reader([line], strict=True), None)
    except csv.Error:
        return None
    return cells if cells is not None and width in (None, len(cells)) else None


def render(rows: pd.DataFrame, columns: Sequence[str]) -> bytes:
    """`columns` of landed rows as CSV bytes; a row keeps its line number, and one that did not fit still does not."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    line = 1
    for cells, text, number in zip(rows[list(columns)].to_numpy(), rows.source_text, rows.source_line, strict=True):
        out.write("\n" * (number - line - 1))
        # One quoted cell: a cut row must not become whole because the column it lacks went to the other file.
        writer.writerow(cells if text is None else [text])
        line = number
    return out.getvalue().encode()
