"""Would another feature pay? `python -m benchmarks.features`: one minute, a Markdown table.

Each feature is added alone to the 19 columns of the shipped table, in the recipe, out of fold, 3 x 5 folds, paired by
row with the same trees without it. They are what people usually build on this table.
"""

from collections.abc import Callable

import click
import pandas as pd

from benchmarks.telco import paired, recipe, repeated_scores, row_losses, table
from mlops_assets.learning.training import catboost_fitter

OPTIONAL_SERVICES = [
    "online_security",
    "online_backup",
    "device_protection",
    "tech_support",
    "streaming_tv",
    "streaming_movies",
]


def optional_services(X: pd.DataFrame) -> pd.Series:
    """How many of the six services that come with internet a customer has, 0 to 6."""
    return (X[OPTIONAL_SERVICES] == "Yes").sum(axis="columns").astype("float64")


FEATURES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "`num_optional_services`, the count of the six": optional_services,
    "charge per service: `monthly_charges` / (1 + the count)": lambda X: X.monthly_charges / (1 + optional_services(X)),
    "price change: `tenure` x `monthly_charges` - `total_charges`": lambda X: (
        X.tenure * X.monthly_charges - X.total_charges
    ),
    "tenure bins: 0-12, 13-24, 25-48, 49 months and more": lambda X: pd.cut(
        X.tenure, [-1, 12, 24, 48, 999], labels=["0-12", "13-24", "25-48", "49+"]
    ).astype(str),
    "`payment_method` is automatic": lambda X: X.payment_method.str.contains("automatic").astype("float64"),
    "`contract` x `internet_service`, nine levels": lambda X: X.contract + " / " + X.internet_service,
}


@click.command()
def main() -> None:
    """Print what each feature adds."""
    X, y = table()

    def losses(features: pd.DataFrame) -> pd.Series:
        scores = repeated_scores(features, y, lambda repeat: catboost_fitter(recipe(seed=7 + repeat)))
        return pd.Series(row_losses(y, scores))

    base = losses(X)
    click.echo("| feature added | log-loss | change, 95 % interval over rows |\n| --- | --- | --- |")
    click.echo(f"| none | {base.mean():.4f} | |")
    for name, feature in FEATURES.items():
        added = losses(X.assign(added=feature(X)))
        mean, half = paired(added.to_numpy(), base.to_numpy())
        click.echo(f"| {name} | {added.mean():.4f} | {mean:+.4f} ± {half:.4f} |")


if __name__ == "__main__":
    main()
