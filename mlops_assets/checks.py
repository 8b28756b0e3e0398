"""Contracts and gates as asset checks, and `publish`, which holds a contract before the table is published.

A blocking check of Dagster's stops the next step, not the write: with an ordinary one the broken table has already
replaced the good one. So an asset yields its table only if it keeps its contract, and the result of every check in any
case. Contracts carry the partition, so that their light shows the worst batch; gates do not, so that theirs shows the
newest verdict.
"""

import base64
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd
from pandera import Check
from pandera.errors import SchemaErrors

from mlops_assets.gates.verdict import Verdict
from mlops_assets.partitions import BATCHES
from mlops_assets.storage import Bundle
from mlops_assets.tables import TABLES

Published = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]
OWNERS = ["team:churn"]
CASES_SHOWN = 20
TRAINING = "training"
"""The pool of what may not run twice at once: runs that hold such an asset wait for each other."""


def contract(name: str, *, blocking: bool = True) -> dg.AssetCheckSpec:
    """The promise that the table `name` keeps its Pandera contract; `publish` holds it.

    `blocking` is for failing the run: a table that breaks its contract is not yielded in any case.
    """
    table = TABLES[name]
    with warnings.catch_warnings():
        # A check with partitions is a preview feature. One warning for each spec says nothing new.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            "contract",
            asset=name,
            blocking=blocking,
            description=table.contract.__doc__,
            partitions_def=BATCHES if table.is_by_batch else None,
        )


def warning(name: str, check: str, description: str) -> dg.AssetCheckSpec:
    """A check that never blocks: news, or the verdict of a gate."""
    return dg.AssetCheckSpec(check, asset=name, description=description)


def described(name: str, *kinds: str) -> dict[str, Any]:
    """What every asset says of itself in the UI, for `dg.asset` and `dg.AssetOut` alike."""
    table = TABLES[name]
    return {
        "group_name": table.layer,
        "kinds": {"python", *kinds},
        "owners": OWNERS,
        "metadata": {"dagster/column_schema": column_schema(name), "layer": table.folder},
    }


def table_asset(
    name: str,
    *kinds: str,
    checks: tuple[dg.AssetCheckSpec, ...] = (),
    deps: Sequence[dg.AssetsDefinition | dg.AssetKey] = (),
    blocking: bool = True,
    pool: str | None = None,
) -> Callable[[Callable[..., "Published"]], dg.AssetsDefinition]:
    """`dg.asset` for the table `name`, with everything that is the same everywhere; the docstring describes it."""
    arguments: dict[str, Any] = {
        **described(name, *kinds),
        "output_required": False,
        "check_specs": [contract(name, blocking=blocking), *checks],
        "partitions_def": BATCHES if TABLES[name].is_by_batch else None,
        "deps": deps,
        "pool": pool,
    }
    decorator: Callable[[Callable[..., Published]], dg.AssetsDefinition] = dg.asset(**arguments)
    return decorator


def column_schema(name: str) -> dg.TableSchema:
    """The contract's columns as the UI shows them."""
    columns = TABLES[name].contract.to_schema().columns
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column,
                type=str(spec.dtype),
                description=spec.description,
                constraints=dg.TableColumnConstraints(
                    nullable=spec.nullable,
                    unique=spec.unique,
                    other=[in_words(check) for check in spec.checks],
                ),
            )
            for column, spec in columns.items()
        ]
    )


def in_words(check: Check) -> str:
    """A rule of a column as a person reads it, such as `>= 0`."""
    signs = {"greater_than_or_equal_to": ">=", "greater_than": ">", "less_than_or_equal_to": "<=", "less_than": "<"}
    values = list((check.statistics or {}).values())
    if check.name in signs and values:
        return f"{signs[check.name]} {values[0]}"
    if check.name == "isin" and values:
        return f"one of {', '.join(map(str, values[0]))}"
    return str(check.error or check.name)


def publish(
    name: str, value: pd.DataFrame | Bundle, *others: dg.AssetCheckResult, note: str = "", **metadata: Any
) -> Published:
    """Yield `value` only if its table keeps the contract of `name`, and the result of every check in any case.

    `note` says in the check what a reader should know; `metadata` goes to the materialization.
    """
    table = value.table if isinstance(value, Bundle) else value
    try:
        TABLES[name].contract.validate(table, lazy=True)  # lazy: report every failure, not the first
    except SchemaErrors as errors:
        cases = errors.failure_cases
        rules = ", ".join(
            sorted({f"{c}: {r}" for c, r in zip(cases["column"], cases["check"].astype(str), strict=True)})
        )
        why = f"{name} breaks its contract and was not published; the last good table stays. Broken: {rules[:300]}"
        yield from refuse(name, why, failure_cases=failure_cases(errors))
    else:
        yield dg.MaterializeResult(asset_key=name, value=value, metadata=metadata)
        summary = note or f"{len(table)} rows keep the contract"
        yield held(name, summary)
    yield from others


def held(name: str, description: str, **metadata: Any) -> dg.AssetCheckResult:
    """The contract of `name` holds."""
    return dg.AssetCheckResult(
        asset_key=name, check_name="contract", passed=True, description=description, metadata=metadata
    )


def refuse(name: str, description: str, *others: dg.AssetCheckResult, **metadata: Any) -> Published:
    """The contract of `name` is broken: nothing is yielded, the last good table stays, and the run fails here."""
    yield dg.AssetCheckResult(
        asset_key=name, check_name="contract", passed=False, description=description, metadata=metadata
    )
    yield from others


def abstain(name: str, why: str, *gates: str) -> Published:
    """There is nothing to publish and nothing wrong: the checks say why, and the run is a success."""
    for check in ("contract", *gates):
        yield dg.AssetCheckResult(
            asset_key=name, check_name=check, passed=True, description=f"abstains: {why}", metadata={"abstains": True}
        )


def gate(name: str, check: str, verdict: Verdict, description: str, **metadata: Any) -> dg.AssetCheckResult:
    """A gate's verdict as a check that warns: scores still go out, and people are told."""
    return dg.AssetCheckResult(
        asset_key=name,
        check_name=check,
        passed=verdict is Verdict.PASS,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{verdict}: {description}",
        metadata={"verdict": str(verdict), **metadata},
    )


def news(name: str, items: Mapping[str, list[Any]], description: str) -> dg.AssetCheckResult:
    """What is new about a table, as a check that warns; `items` are the columns of the table that shows it."""
    rows = len(next(iter(items.values()), []))
    return dg.AssetCheckResult(
        asset_key=name,
        check_name="news",
        passed=rows == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=description if rows else "nothing new",
        metadata={"news": records(pd.DataFrame(items))} if rows else {},
    )


def failure_cases(errors: SchemaErrors) -> dg.TableMetadataValue:
    """What broke a contract: rule, column, a failing value, how many, and the first rows."""
    cases = errors.failure_cases.assign(
        column=lambda t: t["column"].fillna("(several)").astype(str), check=lambda t: t["check"].astype(str)
    )
    grouped = cases.groupby(["check", "column"], sort=False)
    summary = grouped.agg(
        failing_value=("failure_case", lambda values: str(values.iloc[0])[:80]),
        count=("failure_case", "size"),
        first_rows=("index", lambda rows: ", ".join(str(row) for row in rows.drop_duplicates().head(5))),
    )
    return records(summary.reset_index().rename(columns={"check": "rule"}))


def records(table: pd.DataFrame, *, limit: int = CASES_SHOWN) -> dg.TableMetadataValue:
    """`table` as metadata that the UI shows as a table; numbers rounded to four digits, for reading."""
    shown = table.head(limit)
    rows = [dg.TableRecord({str(k): plain(v) for k, v in row.items()}) for row in shown.to_dict("records")]
    columns = [dg.TableColumn(str(name), type=column_type(shown[name])) for name in shown]
    return dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=columns))


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A picture that the UI shows in the metadata; keep it below 50 kB, it lies in the run's database."""
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(png).decode()})")


def column_type(column: pd.Series) -> str:
    """Type of a shown column."""
    if pd.api.types.is_bool_dtype(column):
        return "bool"
    return "float" if pd.api.types.is_numeric_dtype(column) else "string"


def plain(value: Any) -> str | int | float | bool | None:  # noqa: ANN401 - any cell
    """A cell as Python's own type: numpy's fail when the event is stored."""
    if value is None or (isinstance(value, float) and pd.isna(value)) or value is pd.NA:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return None if pd.isna(value) else float(f"{value:.4g}") if abs(value) < 1 else round(value, 4)
    return value if isinstance(value, (bool, int, str)) else str(value)


def lineage(mapping: Mapping[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """Metadata of column lineage: for each column the (asset, column) pairs it is made from."""
    made_from = dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=source) for asset, source in sources]
            for column, sources in mapping.items()
        }
    )
    return {"dagster/column_lineage": made_from}
