"""Decides how the scenarios are told to a person: the text of docs/scenarios.md, made from the catalogue.

What a scenario should do is data that tests hold the loop to; a page written by hand would part from it.
"""

from collections.abc import Iterable

from mlops_assets.churn.catalogue import Expected, Scenario

OPENING = """# Scenarios

What may befall the months that `mlops simulate --scenario NAME@MONTH` plays, what the system should do about it, and by
what we know that it did. `@5` is the fifth month after the six of the sample; without a month it begins in the first.

Customers come from the months held back. Where a scenario changes who leaves, outcomes are drawn from a world that was
fitted on the whole table, so that the truth is known and losses and profits can be computed exactly; `odds x 2` means
that the odds of leaving double for each of these customers.

With `--world panel` the same happens to customers who come back every month ([data](data.md)): to a person it happens
once and lasts, whoever comes later meets it too, and who left because of it is gone. Where other customers come
(`mix_shift`), 44 % of the bound ones are handed over to another company at once, and newcomers keep the mix; where
contracts are dealt anew (`joint_shift`), that happens once, and each newcomer swaps contracts with somebody. Faults
change files and nobody's fate. An offer keeps a customer out of the outcomes, but not in the panel.

This page is made from `mlops_assets/churn/catalogue.py`, and a test holds it to that. In Python,
`scenario_page.page(catalogue.SCENARIOS.values())` is the text to write here anew.

| scenario | what happens | what the system should do | how we know |
| --- | --- | --- | --- |
"""

RINGS = {
    "drift": "the drift gate rings first",
    "outcomes": "the drift gate stays silent, the outcome gate rings",
    "none": "neither gate rings because of it",
}
TRAINED = {True: "a challenger is trained", False: "nothing is trained", None: "a challenger may be trained"}
PROMOTED = {True: "one is promoted", False: "nobody is promoted", None: "one is promoted only if it proves better"}
ALERTED = {True: "a person is told", False: "no alert is sent", None: ""}


def page(scenarios: Iterable[Scenario]) -> str:
    """The whole page, Markdown, a row for each scenario."""
    return OPENING + "".join(map(row, scenarios))


def row(scenario: Scenario) -> str:
    """A line of the table."""
    happens = f"{scenario.description} Offers must be on." if scenario.needs_offers else scenario.description
    return f"| **{scenario.name}** | {happens} | {scenario.should} | {signs(scenario.expected)} |\n"


def signs(expected: Expected) -> str:
    """By what one sees that the system did as it should, in words; what chance decides is left out."""
    rings = RINGS[expected.detects]
    if expected.detects == "drift" and expected.cause == "pipe":
        rings += " and calls it a broken pipe"
    told = [rings, TRAINED[expected.retrains]]
    told += [PROMOTED[expected.promotes]] if expected.retrains is not False else []
    return "; ".join(filter(None, [*told, ALERTED[expected.alerts]]))
