"""A simulated future in a home of its own: months are landed, and the daemon's own sensors and jobs do the rest.

Its customers are fresh ones, each of whom comes once, after the six shipped sample months; or a panel of which most
come back every month, after six sample months of its own.

A month counts as played once nothing more happens in it, and is then written down; a simulation that was killed goes on
with the month it was in, whose files land again with the same bytes, which changes nothing.
"""

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mlops_assets import deliveries
from mlops_assets.chronicle import champion_of, counts, in_short, month_told
from mlops_assets.churn import scenarios
from mlops_assets.churn.lifetimes import settle
from mlops_assets.churn.scenarios import Played
from mlops_assets.churn.simulation import SAMPLE_MONTHS
from mlops_assets.churn.world import fit_world
from mlops_assets.daemon import Daemon, daemon
from mlops_assets.files import write_atomically
from mlops_assets.operate import System
from mlops_assets.recovery import mend
from mlops_assets.storage import SIMULATED, Layers

LEAVING = 0.03  # of a panel, a month, if no other share is asked for


class OtherHomeError(RuntimeError):
    """The home is not that of this simulation; the message says whose it is, and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played: months `began` + 1 to `until` after the sample, and what was told of the months before.

    `leaving`: share of a panel that leaves in an average month; None where customers are `fresh`.
    """

    scenario: str
    at: int
    seed: int
    rows: int | None
    began: int = 0
    until: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    told: tuple[dict[str, Any], ...] = ()
    leaving: float | None = None

    @property
    def game(self) -> tuple[str, int, int, int | None, float | None]:
        """What must be the same to go on."""
        return self.scenario, self.at, self.seed, self.rows, self.leaving

    @property
    def customers(self) -> str:
        """Which customers it has, in words."""
        return "fresh customers" if self.leaving is None else f"a panel of which {self.leaving:g} leave a month"


DEMO = Plan("cable_rival", at=2, seed=7, rows=None, until=6)
"""What `make demo` plays after the sample months."""


def plan_of(home: Path, wanted: Plan, *, months: int) -> Plan:
    """The plan to play `months` more of it here, or to finish what was cut off. Raises OtherHomeError."""
    path = home / SIMULATED
    if not path.is_file():
        if has_others(home, is_panel=wanted.leaving is not None):
            message = f"{home} is the home of something else: a simulation plays in an empty one. Set MLOPS_HOME."
            raise OtherHomeError(message)
        return replace(wanted, until=months)
    known = read_plan(path)
    if known.game != wanted.game:
        message = (
            f"{home} has a simulation of {known.scenario}@{known.at} with seed {known.seed} and rows {known.rows}, "
            f"of {known.customers}; it goes on with these, or set MLOPS_HOME to an empty folder for another."
        )
        raise OtherHomeError(message)
    played = len(known.told)
    if played < min(known.until, known.began + months):  # cut off: the same call again finishes it
        return replace(known, until=known.began + months)
    return replace(known, began=played, until=played + months)


def read_plan(path: Path) -> Plan:
    """The plan as it was written down; one of before there were panels has fresh customers."""
    known = json.loads(path.read_bytes())
    return Plan(**{**known, "told": tuple(known["told"])})


def has_others(home: Path, *, is_panel: bool) -> bool:
    """Whether the inbox holds anything but sample months, or a month was made that is none of them.

    To a panel, which has sample months of its own, the shipped ones are of something else, too.
    """
    months = {} if is_panel else deliveries.sample_files()
    sample = {(batch, kind): content for batch, files in months.items() for kind, content in files.items()}
    landed = {(path.stem, path.parent.name): path for path in (home / "landing").glob("*/*")}
    made = Layers(home).batches("raw_customers")
    return not months.keys() >= set(made) or any(
        sample.get(name) != path.read_bytes() for name, path in landed.items() if path.is_file()
    )


def demo_told(home: Path) -> list[dict[str, Any]]:
    """The demonstration's months, if it was played here to its end; none otherwise."""
    path = home / SIMULATED
    plan = read_plan(path) if path.is_file() else DEMO
    return list(plan.told[: DEMO.until]) if plan.game == DEMO.game and len(plan.told) >= DEMO.until else []


def save(home: Path, plan: Plan) -> None:
    """Write the plan down."""
    write_atomically(home / SIMULATED, (json.dumps(asdict(plan), indent=1) + "\n").encode())


def simulate(running: System, wanted: Plan, *, months: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Play `months` months; returns what happened in each of them. Raises OtherHomeError and FileRefused."""
    plan = plan_of(running.home.root, wanted, months=months)
    save(running.home.root, plan)
    future = future_of(plan, dealt=running.params.sample.seed)
    with daemon(running.home) as loop:
        if mended := mend(loop.instance):
            tell(f"mended {mended} runs that were cut off")
        idle = 2  # the first tick may only finish one that was cut off
        if not plan.told:
            tell("landing the six sample months")
            land_sample(running, deliveries.sample_files() if plan.leaving is None else sample_of(future))
            loop.settle(idle=idle)
            tell(f"first champion: version {champion_of(running)}")
        coming = future(first=len(plan.told))
        while len(plan.told) < plan.until:
            first = len(plan.told)
            played = next(coming)
            if "batch" not in plan.marks or plan.marks["batch"] != first:
                plan = replace(plan, marks={"batch": first, **counts(running)})
                save(running.home.root, plan)
            landed = land(running, played, plan, loop, idle=idle)
            idle = 1
            told = month_told(running, played.batch, landed, plan.marks)
            plan = replace(plan, told=(*plan.told, asdict(told)), marks={})
            save(running.home.root, plan)
            tell(f"[{len(plan.told) - plan.began:2}/{plan.until - plan.began}] {in_short(told)}")
    return list(plan.told[plan.began : plan.until])


class Future(Protocol):
    """Months of a simulation, as `scenarios.stream`."""

    def __call__(self, *, first: int) -> Iterator[Played]:
        """The months after the month `first`, each made when it is asked for."""
        ...


def future_of(plan: Plan, *, dealt: int) -> Future:
    """The future that is planned. `dealt`: the seed by which the shipped sample was. Takes seconds."""
    source = deliveries.source_table()
    world = fit_world(source)
    return functools.partial(
        scenarios.stream,
        source,
        seed=plan.seed,
        scenario=plan.scenario,
        at=plan.at,
        rows=plan.rows,
        world=world,
        dealt=dealt,
        law=None if plan.leaving is None else settle(source, world, rate=plan.leaving),
    )


def sample_of(future: Future) -> dict[str, dict[str, bytes]]:
    """Files of a panel's own sample months, bytes by batch and kind; outcomes of the newest are not known yet."""
    sample = list(itertools.islice(future(first=-SAMPLE_MONTHS), SAMPLE_MONTHS))
    files = {month.batch: {"customers": deliveries.csv_bytes(month.customers)} for month in sample}
    for month in sample[:-1]:
        files[month.batch]["outcomes"] = deliveries.csv_bytes(month.outcomes)
    return files


def land_sample(running: System, sample: Mapping[str, Mapping[str, bytes]]) -> None:
    """Put the sample months into the inbox."""
    for batch, files in sample.items():
        deliveries.refuse_others(running.inbox, batch, files)
        running.inbox.put(batch, files)


def land(running: System, played: Played, plan: Plan, loop: Daemon, *, idle: int) -> list[str]:
    """Land what is due in the month, and let the loop come to rest; in between, where a file comes a second time."""
    landed: list[str] = []
    for due in played.deliveries:
        name = f"{due.kind} of {due.batch}"
        if name in landed:
            loop.settle(idle=idle)
        table = due.table
        if due.kind == "outcomes" and running.params.offers.enabled:
            table = with_offers(running, due.batch, table, plan)
        running.inbox.put(due.batch, {due.kind: deliveries.csv_bytes(table)})
        landed.append(name)
    loop.settle(idle=idle)
    return landed


def with_offers(running: System, batch: str, outcomes: Any, plan: Plan) -> Any:  # noqa: ANN401 - pandas
    """Outcomes as they come back when the system gives offers: with what each customer got."""
    layers = Layers(running.home.layers)
    if not layers.exists("predictions", batch):
        return outcomes
    got = layers.read("predictions", batch)[["customer_id", "assignment", "assignment_chance"]]
    return scenarios.outcomes_under_offers(
        outcomes, got, batch=batch, scenario=plan.scenario, at=plan.at, seed=plan.seed
    )
