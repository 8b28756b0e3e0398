"""Decides which scenarios there are, what each does to a month, and what the system should do about it.

What should be done stands beside each scenario as data: docs/scenarios.md says it in words, and tests hold the loop to
it. What an event does is `events`' work; `scenarios` plays them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mlops_assets.churn import events, panel
from mlops_assets.churn.events import Event, Fault
from mlops_assets.churn.lifetimes import Lifetimes
from mlops_assets.churn.panel import Contracts, Panel

Kind = Literal["customers", "outcomes"]
Beginning = Callable[[Panel, Lifetimes, int], Panel]
"""A panel, its law and the seed in; the panel as the scenario's first month finds it out."""
LATE_MONTHS = 2  # late_outcomes: months later than usual


@dataclass(frozen=True, slots=True)
class Expected:
    """What the system should do about a scenario; None: either is right, chance decides.

    `detects`: the gate that should ring first, drift on the inputs or outcomes on the matured scores. `retrains`: a
    challenger is made. `promotes`: one becomes champion. `alerts`: a person has something to do. `cause`: what it
    really is: a broken pipe, a population that shifted, or a changed relation between inputs and outcome.
    """

    detects: Literal["drift", "outcomes", "none"]
    retrains: bool | None
    promotes: bool | None
    alerts: bool | None
    cause: Literal["pipe", "population", "relation"] | None


class Due(NamedTuple):
    """A file to land: its kind, the number of its month, and whether it is the first, slipped version."""

    kind: Kind
    number: int
    is_slipped: bool = False


def in_order(number: int, _: int) -> tuple[Due, ...]:
    """Usually: the month's customers, and the outcomes of the month before."""
    return Due("customers", number), Due("outcomes", number - 1)


def late(number: int, at: int) -> tuple[Due, ...]:
    """From month `at` on, outcomes come two months later than usual."""
    if number < at:
        return in_order(number, at)
    due = (Due("outcomes", number - 1 - LATE_MONTHS),) if number >= at + LATE_MONTHS else ()
    return Due("customers", number), *due


def swapped(number: int, at: int) -> tuple[Due, ...]:
    """The customers of month `at` come a month late, after the next month's and after their own outcomes."""
    if number == at:
        return (Due("outcomes", at - 1),)
    if number == at + 1:
        return Due("customers", number), Due("outcomes", at), Due("customers", at)
    return in_order(number, at)


def repeated(number: int, at: int) -> tuple[Due, ...]:
    """The customers of month `at` come twice with the same bytes, and corrected a month later."""
    if number == at:
        slipped = Due("customers", at, is_slipped=True)
        return slipped, Due("outcomes", at - 1), slipped
    return (*in_order(number, at), *([Due("customers", at)] if number == at + 1 else []))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and what the system should do about it.

    `lasts`: months, None for ever. `event` changes customers and the truth, `fault` the customers' file, `misrecords`
    the outcomes' file; `due` says what lands in the month of a number, given the month of the beginning.
    `needs_offers`: nothing happens unless the system gives offers. `begins` stands for `event` in a panel, where other
    customers come but once, and `contracts` says what becomes of contracts from then on.
    """

    name: str
    description: str
    should: str
    expected: Expected
    lasts: int | None = None
    event: Event | None = None
    fault: Fault | None = None
    misrecords: Fault | None = None
    due: Callable[[int, int], tuple[Due, ...]] = in_order
    needs_offers: bool = False
    begins: Beginning | None = None
    contracts: Contracts = "change"

    def age(self, number: int, at: int) -> int:
        """Months since it began in month `at`, 1 for the first; 0 where it is not on."""
        age = number - at + 1
        return age if age > 0 and (self.lasts is None or age <= self.lasts) else 0


NOTHING = Expected("none", retrains=False, promotes=False, alerts=False, cause=None)
PIPE = Expected("drift", retrains=False, promotes=False, alerts=True, cause="pipe")
_ALL = (
    Scenario("quiet", "Nothing changes.", "Nothing: no gate rings, the champion stays.", NOTHING),
    Scenario(
        "price_rise",
        "Fiber costs 20 % more, and its customers leave more (odds x 2.2).",
        "Drift names monthly_charges and starts a challenger; it is promoted once outcomes prove it better.",
        Expected("drift", retrains=True, promotes=None, alerts=None, cause="relation"),
        event=events.price_rise,
    ),
    Scenario(
        "cable_rival",
        "A cable company courts everyone without fiber, and more of them leave (odds x 3.3); in answer month-to-month "
        "fiber is made 20 % cheaper, and fewer of its customers leave (odds x 0.45).",
        "Drift starts a challenger at once, outcomes promote one when two or three changed months have matured.",
        Expected("drift", retrains=True, promotes=True, alerts=None, cause="relation"),
        event=events.cable_rival,
    ),
    Scenario(
        "market_calm",
        "Everyone leaves less (odds x 0.5); no input moves.",
        "Drift is silent; the outcome gate says that the scores are too high, and a challenger is promoted.",
        Expected("outcomes", retrains=True, promotes=True, alerts=None, cause="relation"),
        event=events.market_calm,
    ),
    Scenario(
        "mix_shift",
        "Three customers in four have month-to-month contracts, 55 % before; they leave as such customers always did.",
        "Drift starts a challenger, and no outcome promotes it: the champion is as good as ever; with three mature "
        "months the change is accepted, and drift is green again.",
        Expected("drift", retrains=True, promotes=False, alerts=None, cause="population"),
        event=events.mix_shift,
        begins=panel.hand_over,
        contracts="held",
    ),
    Scenario(
        "cents_for_dollars",
        "For two months both charges arrive in cents.",
        "Drift calls it a broken pipe: a person is told, nothing is trained; green again when the file is mended.",
        PIPE,
        lasts=2,
        fault=events.cents,
    ),
    Scenario(
        "missing_burst",
        "For one month contract, payment method and monthly charge are blank in 30 % of the rows each.",
        "Drift calls it a broken pipe: a person is told, nothing is trained; green again the month after.",
        PIPE,
        lasts=1,
        fault=events.blanks,
    ),
    Scenario(
        "new_contract_type",
        "A quarter of the month-to-month customers have a half-year contract, never seen; they leave as before.",
        "Drift names the level and starts a challenger; it is promoted only if outcomes prove it better.",
        Expected("drift", retrains=True, promotes=None, alerts=None, cause="population"),
        event=events.new_contract_type,
    ),
    Scenario(
        "joint_shift",
        "Contracts are dealt anew among the customers: each column looks as ever, contract and tenure no longer agree.",
        "The joint test alone sees it and starts a challenger; it is promoted only if it proves better.",
        Expected("drift", retrains=True, promotes=None, alerts=None, cause="population"),
        event=events.joint_shift,
        begins=panel.deal_anew,
        contracts="swapped",
    ),
    Scenario(
        "concept_flip",
        "A rival buys out bound customers of two years and more (odds x 7.4); new month-to-month ones stay (x 0.37).",
        "Drift is silent; the outcome gate finds the change, and a challenger is promoted.",
        Expected("outcomes", retrains=True, promotes=True, alerts=None, cause="relation"),
        event=events.concept_flip,
    ),
    Scenario(
        "offers_work",
        "An offer keeps three of ten who would have left.",
        "Nothing rings, since offered customers teach nothing; the outcome report finds the campaign's return.",
        NOTHING,
        needs_offers=True,
    ),
    Scenario(
        "label_noise",
        "One outcome in ten is recorded as its opposite.",
        "The outcome gate rings and a person looks at the labels: no test on them can tell noise from a new world.",
        Expected("outcomes", retrains=True, promotes=None, alerts=True, cause="pipe"),
        misrecords=events.flips,
    ),
    Scenario(
        "late_outcomes",
        "Outcomes come two months later than usual.",
        "Scores go out; a person is told that outcomes are overdue; tables end as in order.",
        Expected("none", retrains=False, promotes=False, alerts=True, cause=None),
        due=late,
    ),
    Scenario(
        "out_of_order",
        "One month's customers come a month late, after the next month's and after their own outcomes.",
        "A person may be told that a snapshot is overdue; tables end as in order.",
        Expected("none", retrains=False, promotes=False, alerts=None, cause=None),
        due=swapped,
    ),
    Scenario(
        "duplicate_month",
        "One month's customers come twice with the same bytes, and a month later corrected in five rows.",
        "The copy changes nothing; the correction is a new version, re-scored and marked.",
        NOTHING,
        due=repeated,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}


def parse(text: str) -> tuple[str, int]:
    """Name and first month of `NAME@MONTH`, the month after the six sample months; `NAME` alone begins in the first.

    Raises ValueError saying what is allowed.
    """
    name, sign, month = text.partition("@")
    if name not in SCENARIOS:
        message = f"scenario {name!r} is unknown, there are {', '.join(SCENARIOS)}. Write one as in cable_rival@5."
        raise ValueError(message)
    if sign and not (month.isascii() and month.isdecimal() and int(month) > 0):
        message = (
            f"scenario {text!r}: {month!r} is no month. Write a whole number from 1 on after the @, as in {name}@5, "
            "the fifth month after the sample."
        )
        raise ValueError(message)
    return name, int(month) if sign else 1
