"""Raw: what landed, as it is, with the file's digest and each row's line. A file that is no such table stops here."""

from typing import Any

import dagster as dg

from mlops_assets import checks
from mlops_assets.churn import reading, schemas
from mlops_assets.history import Made, Unrecorded
from mlops_assets.landing import Inbox

NEWS = "Nothing odd about the file: no foreign column, no byte order mark, plain line ends."


def land(
    name: str, kind: str, columns: tuple[str, ...], batch: str, inbox: Inbox, history: Unrecorded
) -> checks.Published:
    """Publish the batch's file of `kind` as the table `name`, or say why it is refused."""
    try:
        content = inbox.read(kind, batch)
        landed = reading.read_landed(content, file=f"{kind}/{batch}.csv", columns=columns)
    except reading.FileRefused as refused:
        yield from checks.refuse(name, f"refused: {refused}", checks.news(name, {}, ""), file=refused.file)
        return
    history.keep(content)  # the next delivery of the month replaces the file in the inbox
    new = checks.news(name, news_table(landed.news), f"{len(landed.news)} things are odd about the file")
    digest = str(landed.rows.source_md5.iloc[0])
    note, facts = f"{len(landed.rows)} rows landed", {"file_md5": digest}
    if before := delivered_before(name, batch, digest, history):
        note += f"; delivery {len(before) + 1} of this month, replaces the one with md5 {before[-1]}"
        facts |= {"replaces": before[-1]}
    yield from checks.publish(name, landed.rows, new, note=note, **facts)


def delivered_before(name: str, batch: str, digest: str, history: Unrecorded) -> list[str]:
    """Digests of the batch's earlier deliveries with other bytes than `digest`, oldest first."""
    file = f"{name.removeprefix('raw_')}/{batch}.csv"
    told = [made.inputs.get(file, "") for made in history.read(Made) if (made.asset, made.batch) == (name, batch)]
    return [known for known in dict.fromkeys(told) if known not in {"", digest}]


def news_table(news: tuple[reading.News, ...]) -> dict[str, list[Any]]:
    """News as the columns of a table; no columns at all when there are none."""
    names = ("kind", "column", "detail", "rows")
    return {name: [getattr(item, name) for item in news] for name in names} if news else {}


@checks.table_asset("raw_customers", "csv", checks=(checks.warning("raw_customers", "news", NEWS),))
def raw_customers(
    context: dg.AssetExecutionContext, inbox: dg.ResourceParam[Inbox], history: dg.ResourceParam[Unrecorded]
) -> checks.Published:
    """The batch's customers as they landed: text, with file, digest and line number."""
    columns = tuple(schemas.fields(schemas.Customers))
    yield from land("raw_customers", "customers", columns, context.partition_key, inbox, history)


@checks.table_asset("raw_outcomes", "csv", checks=(checks.warning("raw_outcomes", "news", NEWS),))
def raw_outcomes(
    context: dg.AssetExecutionContext, inbox: dg.ResourceParam[Inbox], history: dg.ResourceParam[Unrecorded]
) -> checks.Published:
    """The batch's outcomes as they landed, a month after its customers: text, with file, digest and line number."""
    yield from land("raw_outcomes", "outcomes", schemas.OUTCOME_COLUMNS, context.partition_key, inbox, history)
