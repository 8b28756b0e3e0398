"""What each object in the store is: the history names every one, some by several names."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from mlops_assets.history import Made, Registered
from mlops_assets.versions import MODEL, Node, Past, node

BY_BATCH = frozenset({"score", "learn", "rescore"})  # jobs


@dataclass(frozen=True, slots=True)
class Name:
    """What an object is: of which asset and version, where copies lie below the home, and what makes it again."""

    text: str
    asset: str
    version: Node
    places: str
    again: str


def names(past: Past) -> dict[str, list[Name]]:
    """Every object that the history names, by digest, and what it is."""
    found: dict[str, dict[str, Name]] = defaultdict(dict)
    as_of = {version.run_id: version.as_of for version in past.registered}
    for made in past.made:
        for oid, name in names_of(made, again(made, as_of.get(made.run_id))):
            found[oid][name.text] = name
    for registered in past.registered:
        for oid, name in names_of_model(registered):
            found[oid].setdefault(name.text, name)
    return {oid: list(known.values()) for oid, known in found.items() if oid}


def names_of(made: Made, way: str) -> Iterator[tuple[str, Name]]:
    """What a making named: its table, its files, the landed file it came from, and its asset's folder."""
    asset, version = made.asset, node(made)
    yield made.md5, Name(version[0], asset, version, f"*/{asset}/{made.batch or asset}.parquet", way)
    for file, oid in made.files.items():
        yield oid, Name(f"{file} of {asset}", asset, version, f"*/{asset}/{file}", way)
    for name, oid in made.inputs.items():
        if "/" in name:
            yield oid, Name(f"the landed file {name}", asset, (name, oid), f"landing/{name}", "land the file again")
    yield made.folder, Name(f"the folder of {asset}", asset, version, "", way)


def names_of_model(version: Registered) -> Iterator[tuple[str, Name]]:
    """What a registration names; the run that made it may have ended before its tables were there."""
    table, way = (MODEL, version.churn_model), retrain(version.as_of)
    parts = {
        f"the model of v{version.version}": version.model_md5,
        f"the scores of v{version.version}": version.scores,
        f"the parameters of v{version.version}": version.params,
        MODEL: version.churn_model,
    }
    for text, oid in parts.items():
        yield oid, Name(text, MODEL, table, "", way)
    for batch, oid in version.inputs.items():
        text, asset = f"labelled_customers@{batch}", "labelled_customers"
        yield (
            oid,
            Name(text, asset, (text, oid), f"*/{asset}/{batch}.parquet", "restore the file that was learned from"),
        )


def again(made: Made, as_of: str | None) -> str:
    """What makes the same once more, from the same inputs."""
    if made.job in BY_BATCH and made.batch:
        return f"`mlops {made.job} {made.batch}` makes it again, from the same inputs"
    if as_of:
        return retrain(as_of)
    return f"materialize {made.asset} again, from the same inputs"


def retrain(as_of: str) -> str:
    """What makes a training's tables and models once more."""
    return f"`mlops retrain --as-of {as_of}` makes it again, from the same inputs"
