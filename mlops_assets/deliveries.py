"""Deliveries: where the files of the inbox come from.

A file that somebody hands over, split where it holds customers and outcomes; the sample months in the project; and the
future, dealt at run time from the months held back.
"""

import itertools
from collections.abc import Mapping

import pandas as pd

from mlops_assets.churn import simulation
from mlops_assets.churn.reading import SOURCE, FileRefused, read_landed, render
from mlops_assets.churn.schemas import OPTIONAL_OUTCOME_COLUMNS, OUTCOME_COLUMNS, Customers, fields
from mlops_assets.home import PROJECT
from mlops_assets.landing import KINDS, Inbox

FARTHEST = 600  # months


def split(content: bytes, *, file: str) -> dict[str, bytes]:
    """The files of a delivery by kind. A file with one kind stays as it is, byte by byte.

    Raises FileRefused when it has the columns of neither.
    """
    kinds = {"customers": tuple(fields(Customers)), "outcomes": OUTCOME_COLUMNS}
    landed = read_landed(content, file=file, columns=("customer_id",))
    present = {kind: set(columns) <= set(landed.rows) for kind, columns in kinds.items()}
    if all(present.values()):
        optional = tuple(name for name in OPTIONAL_OUTCOME_COLUMNS if name in landed.rows)
        extra = tuple(
            n for n in landed.rows.columns if n not in {*kinds["customers"], *OUTCOME_COLUMNS, *optional, *SOURCE}
        )
        return {
            "customers": render(landed.rows, (*kinds["customers"], *extra)),
            "outcomes": render(landed.rows, (*OUTCOME_COLUMNS, *optional)),
        }
    if present["outcomes"] and not set(kinds["customers"][1:]) & set(landed.rows):
        return {"outcomes": content}
    # Reading it as customers names the columns that are missing, if any; a part of them is no file of outcomes.
    read_landed(content, file=file, columns=kinds["customers"])
    return {"customers": content}


def sample_files() -> dict[str, dict[str, bytes]]:
    """The sample months in the project: bytes by batch and kind."""
    files: dict[str, dict[str, bytes]] = {}
    for kind in KINDS:
        for path in sorted((PROJECT / "data" / "landing" / kind).glob("*.csv")):
            files.setdefault(path.stem, {})[kind] = path.read_bytes()
    return dict(sorted(files.items()))


def source_table() -> pd.DataFrame:
    """The real table that all months are dealt from, as text."""
    return pd.read_csv(PROJECT / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False)


def is_there(inbox: Inbox, kind: str, batch: str, content: bytes) -> bool:
    """Whether the inbox has just these bytes for the batch."""
    return batch in inbox.batches(kind) and inbox.read(kind, batch) == content


def refuse_others(inbox: Inbox, batch: str, delivery: Mapping[str, bytes]) -> None:
    """Raises FileRefused when the inbox holds something else for the batch: the sample must not replace it."""
    for kind, content in delivery.items():
        if batch in inbox.batches(kind) and not is_there(inbox, kind, batch, content):
            file, what = f"{kind}/{batch}.csv", "the inbox has another file than the sample's for this month."
            raise FileRefused(file, what, "Set MLOPS_HOME to an empty folder for the demonstration.")


def months_between(first: str, second: str) -> int:
    """Months from `first` to `second`, 0 if `second` is not later."""
    if not second:
        return 0
    a, b = (int(batch[:4]) * 12 + int(batch[5:]) for batch in (first, second))
    return max(0, b - a)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A dealt table as the CSV that lands."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def deal_next(inbox: Inbox, *, seed: int, months: int, rows: int | None) -> list[str]:
    """Put the next `months` of the future into the inbox: each month's customers, and the outcomes of the one before.

    `rows` customers a month, as dealt if None. Returns the batches. Raises FileRefused when the newest month in the
    inbox is decades away.
    """
    source = source_table()
    sample = simulation.sample_months(source, seed=seed)
    if csv_bytes(sample[0].customers) != sample_files()[sample[0].batch]["customers"]:
        what = f"the sample months were not dealt with sample.seed {seed}: their customers would land a second time."
        refused = FileRefused("params.yaml", what, "Set it back.")
        raise refused
    last = sample[-1]
    known = inbox.batches("customers")
    ahead = months_between(last.batch, known[-1]) if known else 0
    if ahead > FARTHEST:
        file, what = f"customers/{known[-1]}.csv", "no future is dealt from so far ahead."
        raise FileRefused(file, what, "Take it out of the inbox.")
    future = [last, *simulation.future(source, seed=seed, months=months + ahead, rows=rows)]
    dealt = list(itertools.pairwise(future))[ahead:]
    for before, month in dealt:
        inbox.put(month.batch, {"customers": csv_bytes(month.customers)})
        is_ours = is_there(inbox, "customers", before.batch, csv_bytes(before.customers))
        if is_ours and before.batch not in inbox.batches("outcomes"):
            inbox.put(before.batch, {"outcomes": csv_bytes(before.outcomes)})
    return [month.batch for _, month in dealt]
