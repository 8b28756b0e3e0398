"""From landed rows to typed ones: what is quarantined, and what is merely news.

A row that is impossible or cannot be read goes to quarantine with every rule it broke, and the rest is used. What is
unseen or missing passes with a warning, since judging news is the drift gate's work. The rules themselves stand in
`schemas`; what makes a whole file unusable stands in `reading`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from mlops_assets.churn import schemas
from mlops_assets.churn.reading import SOURCE, News
from mlops_assets.churn.schemas import Customers, QuarantinedRows, ValidatedCustomers, ValidatedOutcomes, fields

EXACT = 2.0**53  # up to here a float tells whole numbers apart


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Rows that keep their contract, typed; those that do not, as `QuarantinedRows`; and what is new among the good."""

    good: pd.DataFrame
    quarantined: pd.DataFrame
    news: tuple[News, ...]

    @property
    def quarantined_share(self) -> float:
        """Share of the landed rows that were quarantined, in [0, 1]."""
        return len(self.quarantined) / max(len(self.good) + len(self.quarantined), 1)


def clean_customers(raw: pd.DataFrame) -> Cleaned:
    """Landed customers, shape (n, >= 20), sorted into those that keep `ValidatedCustomers` and those that do not."""
    typed, faults = parse(raw, Customers)
    cleaned = part(raw, typed, faults, ValidatedCustomers)
    return Cleaned(cleaned.good, cleaned.quarantined, customer_news(cleaned.good))


def clean_outcomes(raw: pd.DataFrame, *, known: Iterable[str]) -> Cleaned:
    """Landed outcomes, sorted into those that keep `ValidatedOutcomes` and those that do not.

    `known` are the validated customers of the batch: an outcome of anybody else is quarantined. A file without
    assignments says that nobody got an offer: none, with chance 1.
    """
    whole = raw.reindex(columns=[*fields(ValidatedOutcomes), *SOURCE])
    typed, faults = parse(whole, ValidatedOutcomes)
    assignment = typed.assignment.fillna("none")
    # An offer or a control whose chance was left blank is not certain but unknown: its weight would be wrong.
    is_certain = whole.assignment_chance.isna() | (typed.assignment_chance.isna() & assignment.eq("none"))
    typed = typed.assign(assignment=assignment, assignment_chance=typed.assignment_chance.mask(is_certain, 1.0))
    named = typed.customer_id.notna()
    faults += [
        (row, "customer_id: no validated customer of this batch")
        for row in typed.index[named & ~typed.customer_id.isin(set(known))]
    ]
    cleaned = part(raw, typed, faults, ValidatedOutcomes)
    good = cleaned.good.astype({"churned": "int64"})
    return Cleaned(good, cleaned.quarantined, ())


Faults = list[tuple[int, str]]  # position of a row, rule it broke


def parse(raw: pd.DataFrame, schema: type[pa.DataFrameModel]) -> tuple[pd.DataFrame, Faults]:
    """Columns of `schema` as its types, NA where a cell is blank or unparseable, and a fault for each unparseable."""
    columns = schema.to_schema().columns
    faults: Faults = [
        (row, "row: does not have as many fields as the header") for row in raw.index[raw.source_text.notna()]
    ]
    typed: dict[str, pd.Series] = {}
    for name, column in columns.items():
        cells = raw[name].astype(object)
        text = cells.where(cells.isna(), cells.astype(str).str.strip()).replace("", None)
        kind = str(column.dtype)
        if kind == "str":
            typed[name] = text.where(text.notna(), None)
            continue
        words = {word: str(number) for word, number in schemas.PUBLIC_EXPORT.get(name, ("", {}))[1].items()}
        number = pd.to_numeric(text.replace(words), errors="coerce").astype("float64")
        whole = kind.lower().startswith("int")
        # Infinity has no remainder, and from 2**53 on every float is whole: neither is a whole number that was meant.
        wrong = text.notna() & (number.isna() | (whole & ((number % 1 != 0) | (number.abs() >= EXACT))))
        faults += [(row, f"{name}: not a {'whole ' if whole else ''}number") for row in raw.index[wrong]]
        typed[name] = number.mask(wrong).astype("Int64") if whole else number.mask(wrong)
    return pd.DataFrame(typed, index=raw.index), faults


def part(raw: pd.DataFrame, typed: pd.DataFrame, faults: Faults, schema: type[pa.DataFrameModel]) -> Cleaned:
    """Rows of `typed` that keep `schema`, and the landed form of those that do not."""
    broken: dict[int, list[str]] = {}
    for row, rule in [*faults, *broken_rules(typed, schema)]:
        rules = broken.setdefault(row, [])
        # A cell that could not be read is not also "missing".
        unread = (rule.removesuffix("missing"), "row: ")
        if rule not in rules and not (rule.endswith(": missing") and any(r.startswith(unread) for r in rules)):
            rules.append(rule)
    good = typed.drop(index=list(broken)).reset_index(drop=True)
    return Cleaned(good, quarantine(raw, broken), ())


def broken_rules(typed: pd.DataFrame, schema: type[pa.DataFrameModel]) -> Faults:
    """Position and rule of everything in `typed` that breaks `schema`."""
    ready = typed.astype(
        {name: "int64" for name in fields(schema) if kind_of(schema, name) == "int64" and typed[name].notna().all()}
    )
    try:
        schema.validate(ready, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        cases = cases[cases["index"].notna()].drop_duplicates(["index", "column", "check"])
        return [
            (int(case.index_), rule_name(case.schema_context, case.column, case.check))
            for case in cases.rename(columns={"index": "index_"}).itertuples()
        ]
    return []


def kind_of(schema: type[pa.DataFrameModel], column: str) -> str:
    """Name of a column's type in its contract."""
    return str(schema.to_schema().columns[column].dtype)


def rule_name(context: str, column: str, check: str) -> str:
    """A broken rule in words: `column: rule`, or the rule's own name where it spans columns."""
    if context == "DataFrameSchema":
        return check.replace("_", " ")
    words = {"not_nullable": "missing", "field_uniqueness": "appears more than once in the file"}
    name, _, limit = check.partition("(")
    told = words.get(check, f"not {name.replace('_', ' ')} {limit.removesuffix(')')}")
    return f"{column}: {told}"


def quarantine(raw: pd.DataFrame, broken: dict[int, list[str]]) -> pd.DataFrame:
    """The landed rows at the positions in `broken`, as `QuarantinedRows`."""
    rows = raw.loc[sorted(broken)]
    cells = rows.drop(columns=list(SOURCE))
    table = pd.DataFrame(
        {
            "customer_id": rows.customer_id,
            "rules": ["; ".join(broken[row]) for row in rows.index],
            "values": ["; ".join(offending(rows.loc[row], broken[row])) for row in rows.index],
            "source_file": rows.source_file,
            "source_line": rows.source_line,
            "row": [
                text if text is not None else cells.loc[row].to_json()
                for row, text in zip(rows.index, rows.source_text, strict=True)
            ],
        },
    ).reset_index(drop=True)
    # An empty quarantine must have the contract's types too.
    return table.astype({name: "int64" if name == "source_line" else object for name in fields(QuarantinedRows)})


def offending(row: pd.Series, rules: Sequence[str]) -> list[str]:
    """`column=value` of each column that a rule in `rules` names or spans."""
    spans = [schemas.SPANS.get(rule.replace(" ", "_"), (rule.split(":")[0],)) for rule in rules]
    named = dict.fromkeys(name for columns in spans for name in columns)
    return [f"{name}={row[name]}" for name in named if name in row.index]


def customer_news(good: pd.DataFrame) -> tuple[News, ...]:
    """Levels that the contract does not know, and missing values, among rows that keep it."""
    news = []
    for column in good.columns:
        known = schemas.levels(column)
        unseen = good[column][good[column].notna() & ~good[column].isin(known)] if known else good[column].iloc[:0]
        news += [
            News("unseen level", column, repr(name), int(rows))
            for name, rows in unseen.value_counts().sort_index().items()
        ]
        missing = good[column].isna()
        if column == "total_charges":  # blank means "not billed yet": all 11 blanks of the public export have tenure 0
            missing &= good.tenure.ne(0).fillna(value=True)
        if missing.any():
            news.append(News("missing values", column, f"{missing.mean():.1%} of the rows", int(missing.sum())))
    return tuple(news)
