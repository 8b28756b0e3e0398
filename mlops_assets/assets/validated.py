"""Validated: typed rows that keep their contract, and beside them the quarantine of those that do not.

Quarantine is published first and in any case. Above the limit the batch is not: the last good table stays, since half a
batch is not a smaller batch but another population.
"""

from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.assets.raw import news_table
from mlops_assets.churn import cleaning
from mlops_assets.params import Params
from mlops_assets.partitions import BATCHES

NEWS = "Nothing the contract has not seen: no unknown level, no missing value. News passes; the drift gate judges it."


def outs(kind: str) -> dict[str, dg.AssetOut]:
    """The two tables that a landed table is sorted into."""
    told = {
        f"quarantined_{kind}": f"Rows of raw_{kind} that break their contract: every rule, value, file and line.",
        f"validated_{kind}": f"Rows of raw_{kind} that keep their contract, typed, in the order they landed.",
    }
    return {
        name: dg.AssetOut(is_required=False, description=text, **checks.described(name, "pandera"))
        for name, text in told.items()
    }


def specs(kind: str) -> list[dg.AssetCheckSpec]:
    """Checks of the two tables."""
    good = f"validated_{kind}"
    return [checks.contract(f"quarantined_{kind}"), checks.contract(good), checks.warning(good, "news", NEWS)]


def sort_rows(kind: str, cleaned: cleaning.Cleaned, limit: float) -> checks.Published:
    """Publish quarantine, and the good rows if few enough are quarantined."""
    good, bad = f"validated_{kind}", f"quarantined_{kind}"
    share, count = cleaned.quarantined_share, len(cleaned.quarantined)
    yield from checks.publish(bad, cleaned.quarantined, note=f"{count} rows are quarantined", share=round(share, 4))
    new = checks.news(good, news_table(cleaned.news), f"{len(cleaned.news)} things are new; they pass")
    broken = rules_broken(cleaned.quarantined)
    if share > limit:
        total = count + len(cleaned.good)
        why = (
            f"{count} of {total} rows ({share:.1%}) are quarantined, at most {limit:.1%} may "
            f"(quality.max_quarantined_share). The last good table stays. Correct the file and land it again; "
            f"the rows and their lines are in {bad}."
        )
        yield from checks.refuse(good, why, new, failure_cases=checks.records(broken))
        return
    note = f"{count} rows break {len(broken)} rules and are quarantined" if count else ""
    source = f"raw_{kind}"
    yield from checks.publish(
        good,
        cleaned.good,
        new,
        note=note,
        quarantined_rows=count,
        **checks.lineage({column: [(source, column)] for column in cleaned.good.columns}),
        **({"broken_rules": checks.records(broken)} if count else {}),
    )


def rules_broken(quarantined: pd.DataFrame) -> pd.DataFrame:
    """Each broken rule with its column, a failing value, how many rows break it, and the first lines of the file."""
    rows: dict[str, dict[str, Any]] = {}
    for rules, values, line in quarantined[["rules", "values", "source_line"]].itertuples(index=False):
        for rule in rules.split("; "):
            row = rows.setdefault(rule, {"rule": rule, "failing_value": values[:80], "count": 0, "lines": []})
            row["count"] += 1
            row["lines"].append(str(line))
    table = pd.DataFrame(rows.values(), columns=["rule", "failing_value", "count", "lines"])
    return table.assign(lines=table.lines.map(lambda lines: ", ".join(lines[:5])))


@dg.multi_asset(outs=outs("customers"), check_specs=specs("customers"), partitions_def=BATCHES)
def clean_customers(raw_customers: pd.DataFrame, params: dg.ResourceParam[Params]) -> checks.Published:
    """Landed customers, sorted into validated and quarantined."""
    yield from sort_rows("customers", cleaning.clean_customers(raw_customers), params.quality.max_quarantined_share)


@dg.multi_asset(outs=outs("outcomes"), check_specs=specs("outcomes"), partitions_def=BATCHES)
def clean_outcomes(
    raw_outcomes: pd.DataFrame, validated_customers: pd.DataFrame, params: dg.ResourceParam[Params]
) -> checks.Published:
    """Landed outcomes, sorted into validated and quarantined; those of unknown customers are quarantined."""
    cleaned = cleaning.clean_outcomes(raw_outcomes, known=validated_customers.customer_id)
    yield from sort_rows("outcomes", cleaned, params.quality.max_quarantined_share)
