"""What is refused, what is quarantined, and what is merely news; and laws that hold for any bytes at all."""

import contextlib
import gzip
import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from mlops_assets.churn import schemas
from mlops_assets.churn.cleaning import Cleaned, clean_customers, clean_outcomes
from mlops_assets.churn.reading import FileRefused, read_landed, render
from mlops_assets.churn.schemas import (
    OUTCOME_COLUMNS,
    Customers,
    QuarantinedRows,
    RawCustomers,
    ValidatedCustomers,
    ValidatedOutcomes,
    fields,
)

FILE = "customers/2024-03.csv"
COLUMNS = fields(Customers)
Clean = Callable[[bytes | list[str]], Cleaned]
lawful = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def edited(line: str, **cells: str) -> str:
    """The line of a customer with other cells."""
    parts = line.split(",")
    for name, cell in cells.items():
        parts[COLUMNS.index(name)] = cell
    return ",".join(parts)


def refusal(content: bytes, columns: Sequence[str] = COLUMNS) -> str:
    """Why the file is refused."""
    with pytest.raises(FileRefused) as refused:
        read_landed(content, file=FILE, columns=columns)
    assert refused.value.file == FILE
    return str(refused.value)


def broken(cleaned: Cleaned) -> dict[int, str]:
    """Rules by line of the file."""
    return dict(zip(cleaned.quarantined.source_line, cleaned.quarantined.rules, strict=True))


def told(cleaned: Cleaned) -> list[tuple[str, str, int]]:
    """News of the good rows: kind, column and rows."""
    return [(news.kind, news.column, news.rows) for news in cleaned.news]


# ------------------------------------------------------------------------------------------------ files: refused


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n\t", b"\xef\xbb\xbf"], ids=["0 bytes", "LF", "blanks", "BOM"])
def test_an_empty_file_is_refused(content: bytes) -> None:
    assert refusal(content) == f"{FILE}: it is empty. Export it again."


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n  \n"])
def test_a_header_without_rows_is_refused(lines: list[str], end: str) -> None:
    assert "header and no rows. Export it again" in refusal((lines[0] + end).encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_and_utf_32_are_refused(lines: list[str], encoding: str) -> None:
    assert "UTF-8" in refusal("\n".join(lines).encode(encoding))


def test_another_encoding_is_refused_with_the_line_that_shows_it(lines: list[str]) -> None:
    spoiled = [*lines[:4], edited(lines[4], payment_method="Überweisung"), *lines[5:]]
    assert "it is not UTF-8 (byte" in refusal("\n".join(spoiled).encode("latin-1"))
    assert "line 5). Save it as UTF-8." in refusal("\n".join(spoiled).encode("latin-1"))


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("columns", [COLUMNS, ["customer_id"]], ids=["customers", "either kind"])
def test_another_delimiter_is_refused_by_its_name(
    lines: list[str], delimiter: str, name: str, columns: list[str]
) -> None:
    content = "\n".join(line.replace(",", delimiter) for line in lines).encode()
    assert f"separated by {name}. Export it with commas." in refusal(content, columns)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_refused_under_both_its_names(lines: list[str], column: str) -> None:
    place = COLUMNS.index(column)
    cut = [",".join(cell for at, cell in enumerate(line.split(",")) if at != place) for line in lines]
    message = refusal("\n".join(cut).encode())
    assert f"columns are missing: {column} (or {schemas.PUBLIC_EXPORT[column][0]})." in message
    assert "docs/data.md" in message


@pytest.mark.parametrize("twin", ["tenure", " tenure ", "gender", "female"])
def test_a_column_that_appears_twice_is_refused_in_whatever_form(lines: list[str], twin: str) -> None:
    doubled = [f"{lines[0]},{twin}", *(f"{line},1" for line in lines[1:])]
    assert "columns appear twice" in refusal("\n".join(doubled).encode())


@pytest.mark.parametrize("name", ["source_file", "source_line"])
def test_a_column_under_one_of_our_own_names_is_refused(lines: list[str], name: str) -> None:
    assert f"reserved names: {name}" in refusal("\n".join(f"{line},{name}" for line in lines).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PAR1\x15\x04\x15\x00\0PAR1",
        gzip.compress(b"customer_id,churned\nC1,No\n", mtime=0),
        json.dumps([{"customer_id": "C1", "tenure": 3}], indent=1).encode(),
        b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"C05998,1,0,0,0,6\nC04937,1,1,0,0,45\n",
    ],
    ids=["PNG", "Parquet", "gzip", "JSON", "HTML", "PDF", "no header"],
)
def test_what_is_no_such_csv_is_refused(content: bytes) -> None:
    message = refusal(content)
    assert "no CSV but binary data" in message or "not UTF-8" in message or "is no header of such a table" in message


def test_lines_that_end_in_cr_alone_are_refused(lines: list[str]) -> None:
    assert "CR alone. Save it with LF or CRLF" in refusal("\r".join(lines).encode())


# -------------------------------------------------------------------------------------------- rows: quarantined


def test_a_good_month_is_good_throughout(lines: list[str], clean: Clean) -> None:
    cleaned = clean(lines)
    assert list(cleaned.good.customer_id) == [line.split(",")[0] for line in lines[1:]]
    assert (broken(cleaned), cleaned.news, cleaned.quarantined_share) == ({}, (), 0)


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        ({"tenure": "twelve"}, "tenure: not a whole number"),
        ({"tenure": "12.5"}, "tenure: not a whole number"),
        ({"tenure": "inf"}, "tenure: not a whole number"),
        ({"tenure": "1e300"}, "tenure: not a whole number"),
        ({"tenure": str(2**64)}, "tenure: not a whole number"),
        ({"tenure": "-1"}, "tenure: not greater than or equal to 0"),
        ({"tenure": "1201"}, "tenure: not less than or equal to 1200"),
        ({"female": "2"}, "female: not isin [0, 1]"),
        ({"partner": "maybe"}, "partner: not a whole number"),
        ({"monthly_charges": "29.85 EUR"}, "monthly_charges: not a number"),
        ({"monthly_charges": "nan"}, "monthly_charges: not a number"),
        ({"monthly_charges": "-29.85"}, "monthly_charges: not greater than or equal to 0"),
        ({"total_charges": "-0.01"}, "total_charges: not greater than or equal to 0"),
        ({"total_charges": "inf"}, "total_charges: not less than or equal to 1000000000.0"),
        ({"internet_service": "No"}, "add ons need internet"),
        ({"phone_service": "0"}, "lines need a phone"),
        ({"customer_id": ""}, "customer_id: missing"),
        ({"customer_id": "=cmd"}, f"customer_id: not str matches '{schemas.ID}'"),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_an_impossible_cell_is_quarantined_with_its_rule_value_and_line(
    lines: list[str], clean: Clean, cells: dict[str, str], rule: str
) -> None:
    at = next(n for n, line in enumerate(lines) if "Fiber optic" in line and ",1,Yes,Fiber" in line)
    cleaned = clean([*lines[:at], edited(lines[at], **cells), *lines[at + 1 :]])
    assert broken(cleaned) == {at + 1: rule}
    (row,) = cleaned.quarantined.to_dict("records")
    (column, cell) = next(iter(cells.items()))
    assert f"{column}={cell}" in row["values"].split("; ")
    assert json.loads(row["row"])[column] == cell
    assert row["source_file"] == FILE


def test_a_row_is_quarantined_with_every_rule_it_broke(lines: list[str], clean: Clean) -> None:
    spoiled = edited(lines[1], tenure="x", monthly_charges="-1", female="7")
    rules = broken(clean([lines[0], spoiled, *lines[2:]]))[2].split("; ")
    assert {rule.split(":")[0] for rule in rules} == {"tenure", "monthly_charges", "female"}


def test_an_id_that_appears_twice_is_quarantined_with_all_its_rows(lines: list[str], clean: Clean) -> None:
    cleaned = clean([*lines, edited(lines[2], tenure="5"), f" {lines[2]}"])
    assert broken(cleaned) == dict.fromkeys((3, 32, 33), "customer_id: appears more than once in the file")


@pytest.mark.parametrize("kept", [1, 40, 100])
def test_a_cut_last_line_is_quarantined_as_it_came(lines: list[str], clean: Clean, kept: int) -> None:
    cleaned = clean([*lines[:-1], lines[-1][:kept]])
    if lines[-1][:kept].count(",") == lines[-1].count(","):  # only its last number was cut: nothing can tell
        assert broken(cleaned) == {}
        return
    assert broken(cleaned) == {31: "row: does not have as many fields as the header"}
    assert list(cleaned.quarantined.row) == [lines[-1][:kept]]


def test_a_stray_quote_spoils_its_own_line_alone(lines: list[str], clean: Clean) -> None:
    cleaned = clean([*lines[:3], '"' + lines[3], *lines[4:]])
    assert broken(cleaned) == {4: "row: does not have as many fields as the header"}
    assert len(cleaned.good) == 29


def test_a_quoted_comma_is_part_of_its_cell(lines: list[str], clean: Clean) -> None:
    cleaned = clean([lines[0], edited(lines[1], payment_method='"Cheque, by post"'), *lines[2:]])
    assert cleaned.good.payment_method[0] == "Cheque, by post"


def test_when_all_rows_are_broken_nothing_is_good_and_everything_is_kept(lines: list[str], clean: Clean) -> None:
    cleaned = clean([lines[0], *(edited(line, tenure="many") for line in lines[1:])])
    assert (len(cleaned.good), len(cleaned.quarantined), cleaned.quarantined_share) == (0, 30, 1)
    ValidatedCustomers.validate(cleaned.good, lazy=True)


def test_blank_lines_do_not_move_the_line_numbers(lines: list[str], clean: Clean) -> None:
    spaced = [lines[0], "", *lines[1:3], "   ", "\t", edited(lines[3], tenure="x"), "", *lines[4:]]
    assert list(broken(clean(spaced))) == [7]


# ----------------------------------------------------------------------------------------------------- news: passed


def test_an_unseen_level_passes_as_text_and_is_told(lines: list[str], clean: Clean) -> None:
    cleaned = clean(
        [lines[0], edited(lines[1], payment_method="Crypto"), edited(lines[2], contract="Weekly"), *lines[3:]]
    )
    assert told(cleaned) == [("unseen level", "contract", 1), ("unseen level", "payment_method", 1)]
    assert (cleaned.good.payment_method[0], cleaned.good.contract[1]) == ("Crypto", "Weekly")


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("customer_id", "total_charges")])
@pytest.mark.parametrize("blank", ["", "  "])
def test_a_missing_value_passes_and_is_told(lines: list[str], clean: Clean, column: str, blank: str) -> None:
    cleaned = clean([lines[0], edited(lines[10], **{column: blank}), *lines[11:]])
    assert told(cleaned) == [("missing values", column, 1)]
    assert cleaned.good[column].isna().tolist() == [True] + [False] * (len(cleaned.good) - 1)


def test_a_customer_not_billed_yet_is_no_news_and_a_lost_total_is(lines: list[str], clean: Clean) -> None:
    assert clean(lines).good.total_charges.isna().sum() == 3
    assert told(clean([*lines[:10], edited(lines[10], total_charges=""), *lines[11:]])) == [
        ("missing values", "total_charges", 1)
    ]


def test_foreign_columns_bom_and_crlf_are_read_and_told(lines: list[str], clean: Clean) -> None:
    content = b"\xef\xbb\xbf" + "\r\n".join([f"{lines[0]},loyalty", *(f"{line},gold" for line in lines[1:])]).encode()
    landed = read_landed(content, file=FILE, columns=COLUMNS)
    assert [(news.kind, news.column) for news in landed.news] == [
        ("byte order mark", ""),
        ("CRLF line ends", ""),
        ("extra column", "loyalty"),
    ]
    assert set(landed.rows.loyalty) == {"gold"}
    pd.testing.assert_frame_equal(clean(content).good, clean(lines).good)


def test_columns_may_come_in_any_order(lines: list[str], clean: Clean) -> None:
    order = np.random.default_rng(7).permutation(20)
    mixed = [",".join(line.split(",")[place] for place in order) for line in lines]
    pd.testing.assert_frame_equal(clean(mixed).good, clean(lines).good)


# -------------------------------------------------------------------------------------------------------- outcomes

KNOWN = [f"C{number}" for number in range(1, 7)]


def outcomes(*rows: str, header: str = "customer_id,churned") -> Cleaned:
    """Outcomes of those rows, sorted; customers C1 to C6 are known."""
    content = "\n".join([header, *rows]).encode()
    return clean_outcomes(read_landed(content, file=FILE, columns=OUTCOME_COLUMNS).rows, known=KNOWN)


def test_words_and_numbers_say_the_same_outcome() -> None:
    cleaned = outcomes("C1,Yes", "C2,No", "C3,1", "C4,0")
    assert cleaned.good.churned.tolist() == [1, 0, 1, 0]
    assert (set(cleaned.good.assignment), set(cleaned.good.assignment_chance)) == ({"none"}, {1.0})


def test_an_outcome_of_an_unknown_customer_is_quarantined() -> None:
    cleaned = outcomes("C1,Yes", "C99,No")
    assert broken(cleaned) == {3: "customer_id: no validated customer of this batch"}
    assert cleaned.good.customer_id.tolist() == ["C1"]


@pytest.mark.parametrize("cell", ["", "perhaps", "2", "1.5", "yes!"])
def test_an_outcome_that_says_neither_is_quarantined(cell: str) -> None:
    assert list(broken(outcomes("C1,Yes", f"C2,{cell}", "C3,No"))) == [3]


WITH_OFFERS = "customer_id,churned,assignment,assignment_chance"


def test_the_assignment_and_its_chance_come_back_with_the_outcome() -> None:
    good = outcomes("C1,No,offer,0.9", "C2,Yes,control,0.1", "C3,No,none,1", header=WITH_OFFERS).good
    assert good.assignment.tolist() == ["offer", "control", "none"]
    assert good.assignment_chance.tolist() == [0.9, 0.1, 1.0]


def test_a_blank_assignment_is_none_with_chance_1() -> None:
    cleaned = outcomes("C1,No,,", "C2,Yes,control,0.1", "C3,No,none,", "C4,No, , ", header=WITH_OFFERS)
    assert cleaned.good.assignment.tolist() == ["none", "control", "none", "none"]
    assert cleaned.good.assignment_chance.tolist() == [1.0, 0.1, 1.0, 1.0]


@pytest.mark.parametrize("got", ["offer", "control"])
def test_an_offer_or_control_whose_chance_is_blank_is_quarantined(got: str) -> None:
    cleaned = outcomes(f"C1,No,{got},", "C2,No,none,1", header=WITH_OFFERS)
    assert broken(cleaned) == {2: "assignment_chance: missing"}


def test_a_file_with_assignments_and_no_column_of_chances_says_they_were_certain() -> None:
    cleaned = outcomes("C1,No,control", "C2,No,", header="customer_id,churned,assignment")
    assert cleaned.good.assignment_chance.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "row", ["C1,No,gift,0.5", "C1,No,offer,0", "C1,No,offer,1.5", "C1,No,offer,half", "C1,No,none,x"]
)
def test_an_impossible_assignment_or_chance_is_quarantined(row: str) -> None:
    assert list(broken(outcomes(row, "C2,No,none,1", header=WITH_OFFERS))) == [2]


# ------------------------------------------------------------------------------------------------ laws, for any bytes

# A NUL is a fault of the file and a line end makes another line: both have tests of their own.
plain = st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"])
cells = st.one_of(
    st.text(plain, max_size=8),
    st.sampled_from(
        ["", " ", "No", "Yes", "0", "1", "-1", "1e300", "inf", "nan", '"', "'", "No internet service", "\r"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("cell"), st.integers(1, 12), st.integers(0, 19), cells),
        st.tuples(st.just("cut"), st.integers(1, 12), st.integers(0, 120), st.just("")),
        st.tuples(st.just("insert"), st.integers(1, 12), st.integers(0, 120), st.text(plain, max_size=3)),
        st.tuples(st.just("twice"), st.integers(1, 12), st.just(0), st.just("")),
        st.tuples(st.just("blank"), st.integers(1, 12), st.just(0), st.sampled_from(["", "  ", "\t"])),
    ),
    max_size=6,
)


def spoil(lines: list[str], spoilings: list[tuple[str, int, int, str]]) -> list[str]:
    """`lines` after each of the changes."""
    spoiled = list(lines)
    for kind, row, place, text in spoilings:
        line = spoiled[row]
        parts = line.split(",")
        parts[min(place, len(parts) - 1)] = text
        spoiled[row : row + 1] = {
            "cell": [",".join(parts)],
            "cut": [line[:place]],
            "insert": [line[:place] + text + line[place:]],
            "twice": [line, line],
            "blank": [text, line],
        }[kind]
    return spoiled


@lawful
@given(spoilings=changes)
def test_every_landed_row_is_either_good_or_quarantined_and_never_both(
    lines: list[str], spoilings: list[tuple[str, int, int, str]]
) -> None:
    landed = read_landed("\n".join(spoil(lines[:14], spoilings)).encode(), file=FILE, columns=COLUMNS).rows
    cleaned = clean_customers(landed)
    quarantined = set(cleaned.quarantined.source_line)
    passed = landed[~landed.source_line.isin(quarantined)]
    assert len(cleaned.quarantined) == len(quarantined)
    assert quarantined <= set(landed.source_line)
    assert cleaned.good.customer_id.tolist() == passed.customer_id.str.strip().tolist()


@lawful
@given(spoilings=changes)
def test_the_contracts_hold_on_what_cleaning_returns(
    lines: list[str], spoilings: list[tuple[str, int, int, str]]
) -> None:
    landed = read_landed("\n".join(spoil(lines[:14], spoilings)).encode(), file=FILE, columns=COLUMNS).rows
    cleaned = clean_customers(landed)
    RawCustomers.validate(landed, lazy=True)
    ValidatedCustomers.validate(cleaned.good, lazy=True)
    QuarantinedRows.validate(cleaned.quarantined, lazy=True)


@lawful
@given(spoilings=changes)
def test_a_quarantined_row_breaks_the_contract_if_it_is_let_pass(
    lines: list[str], spoilings: list[tuple[str, int, int, str]]
) -> None:
    content = spoil(lines[:14], spoilings)
    cleaned = clean_customers(read_landed("\n".join(content).encode(), file=FILE, columns=COLUMNS).rows)
    alone = cleaned.quarantined[~cleaned.quarantined.rules.str.contains("more than once")]
    # In an editor too the row stands in the line that quarantine names, and alone it is no better.
    for line in alone.source_line:
        again = read_landed("\n".join([lines[0], content[line - 1]]).encode(), file=FILE, columns=COLUMNS)
        assert len(clean_customers(again.rows).quarantined) == 1


@lawful
@given(spoilings=changes)
def test_a_row_is_judged_alike_in_any_company_but_that_of_its_double(
    lines: list[str], spoilings: list[tuple[str, int, int, str]]
) -> None:
    content = spoil(lines[:14], spoilings)
    cleaned = clean_customers(read_landed("\n".join(content).encode(), file=FILE, columns=COLUMNS).rows)
    backwards = clean_customers(
        read_landed("\n".join([lines[0], *content[:0:-1]]).encode(), file=FILE, columns=COLUMNS).rows
    )
    assert sorted(backwards.quarantined.rules) == sorted(cleaned.quarantined.rules)
    pd.testing.assert_frame_equal(backwards.good[::-1].reset_index(drop=True), cleaned.good)


@lawful
@given(content=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(FileRefused):
        assert len(read_landed(content, file=FILE, columns=["customer_id"]).rows) > 0


@lawful
@given(body=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_below_a_good_header_are_read_or_refused(lines: list[str], body: bytes) -> None:
    try:
        landed = read_landed(lines[0].encode() + b"\n" + body, file=FILE, columns=COLUMNS)
    except FileRefused:
        return
    cleaned = clean_customers(landed.rows)
    assert len(cleaned.good) + len(cleaned.quarantined) == len(landed.rows)


@lawful
@given(rows=st.lists(st.tuples(*[st.one_of(st.sampled_from(KNOWN), cells)] + [cells] * 3), min_size=1, max_size=6))
def test_any_outcomes_are_sorted_and_keep_their_contracts(rows: list[tuple[str, ...]]) -> None:
    content = "\n".join([WITH_OFFERS, *(",".join(row) for row in rows)]).encode()
    try:
        landed = read_landed(content, file=FILE, columns=OUTCOME_COLUMNS)
    except FileRefused:
        return
    cleaned = clean_outcomes(landed.rows, known=KNOWN)
    assert len(cleaned.good) + len(cleaned.quarantined) == len(landed.rows)
    ValidatedOutcomes.validate(cleaned.good, lazy=True)
    QuarantinedRows.validate(cleaned.quarantined, lazy=True)


@lawful
@given(spoilings=changes)
def test_rows_written_again_are_sorted_as_they_were(
    lines: list[str], spoilings: list[tuple[str, int, int, str]]
) -> None:
    landed = read_landed("\n".join(spoil(lines[:14], spoilings)).encode(), file=FILE, columns=COLUMNS).rows
    again = read_landed(render(landed, COLUMNS), file=FILE, columns=COLUMNS).rows
    first, second = clean_customers(landed), clean_customers(again)
    pd.testing.assert_frame_equal(first.good, second.good)
    assert broken(first) == broken(second)


def test_a_contract_that_breaks_is_an_error_of_ours_and_shown_in_full(customers: pd.DataFrame) -> None:
    with pytest.raises(SchemaErrors, match="tenure"):
        ValidatedCustomers.validate(customers.assign(tenure=pd.array([-1] * 30, dtype="Int64")), lazy=True)
