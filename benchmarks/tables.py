"""How the results of `benchmarks.decisions` are told: Markdown tables, each figure held to its goal.

*Italics* miss their goal, **bold** misses it for certain: the interval, of ten cases at least, does not reach it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.moves import MOVES
from benchmarks.telco import params
from benchmarks.world import AT, KINDS, KNOWN, MAKERS, SIZES, YEAR

Results = dict[tuple[str, str, str, int], list[Any]]
"""Of each part, table, world and size the results of every seed."""

FALSE_DECISIONS, FALSE_YEARS, POWER, NEW_LEVEL, EQUAL = 0.01, 0.05, 0.9, 0.9, 0.025
ENOUGH = 10
PROFIT, GREEN, TRAININGS = 0.95, 4, 3
WHERE = [(kind, size) for kind in KINDS for size in SIZES]
HEAD = [f"{kind}, {size:,}" for kind, size in WHERE]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, rate = 1.96, hits / of
    middle = (rate + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * np.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: int, of: int, *, most: float = 1.0, least: float = 0.0, beside: str = "") -> str:
    """A share in per cent with its interval, marked where it is above `most` or below `least`; a dash of nothing."""
    if not of:
        return "-"
    low, high = wilson(hits, of)
    is_sure = of >= ENOUGH and (low > most or high < least)
    mark = "**" if is_sure else "*" if hits / of > most or hits / of < least else ""
    return f"{mark}{100 * hits / of:.0f} ({100 * low:.0f} to {100 * high:.0f}){mark}{beside}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(results: Results, parts: Sequence[str]) -> str:
    """All tables of the parts."""
    makers: dict[str, Callable[[Results], Iterator[str]]] = {
        "drift": drift,
        "outcomes": outcomes,
        "promotion": promotion,
        "evidently": evidently,
        "decade": decade,
        "lasting": lasting,
        "rare": rare,
    }
    named = {part.split("_")[0] for part in parts}
    told = "\n\n".join(text for name, made in makers.items() if name in named for text in made(results))
    return f"{goals(results)}\n\n{told}"


def goals(results: Results) -> str:
    """Each goal of the gates over all tables and sizes, by world."""
    rows = []
    for part, kept in (("drift", "drift_quiet"), ("outcomes", "outcomes")):
        alpha = params().drift.alpha if part == "drift" else params().outcomes.alpha
        rang = {
            kind: np.array([np.array(one["quiet"]) <= alpha for one in every(results, kept, kind)]) for kind in KINDS
        }
        each = [share(int(rang[kind].sum()), rang[kind].size, most=FALSE_DECISIONS) for kind in KINDS]
        years = [share(int(sum(map(any, rang[kind]))), len(rang[kind]), most=FALSE_YEARS) for kind in KINDS]
        rows.append([f"{part}: false alarms, % of quiet decisions", "<= 1", *each])
        rows.append([f"{part}: quiet years with one, %", "<= 5", *years])
        counts = [behind(results, part, kind, alpha) for kind in KINDS]
        cells = [f"{of - missed} of {of}; {surely} missed for certain" for of, missed, surely in counts]
        rows.append([f"{part}: changes with 90 % of the oracle's power where that is >= 50 %", "all", *cells])
    for level in ("5", "2"):
        hits = [
            [one["changes"][f"a new category in {level} %"][0] for one in every(results, "drift", kind)]
            for kind in KINDS
        ]
        found = [sum(p[0] <= params().drift.alpha for p in one) for one in hits]
        cells = [share(hit, len(one), least=NEW_LEVEL) for hit, one in zip(found, hits, strict=True)]
        rows.append([f"drift: a new category in {level} % of the rows, found %", ">= 90", *cells])
    for name, goal, most in (("equal", "<= 2.5", EQUAL), ("worse", "0", 0.0), ("better", ">= 90", 1.0)):
        for rule in ("promoted", "f1"):
            pairs = [[one[name] for one in every(results, "promotion", kind)] for kind in KINDS]
            cells = [
                share(
                    sum(one[rule] for one in many),
                    len(many),
                    most=most if rule == "promoted" else 1.0,
                    least=POWER if name == "better" else 0.0,
                )
                for many in pairs
            ]
            rule_named = "" if rule == "promoted" else " by the higher F1"
            rows.append([f"promotion: {name} challengers promoted{rule_named}, %", goal, *cells])
    return "### Goals\n\n" + markdown(["figure, over all tables and sizes", "goal", *KINDS], rows)


def every(results: Results, part: str, kind: str) -> list[Any]:
    """All results of a part in a world."""
    return [one for key, many in sorted(results.items()) if key[0] == part and key[2] == kind for one in many]


def behind(results: Results, part: str, kind: str, alpha: float) -> tuple[int, int, int]:
    """Changes by table and size of which the oracle finds half: how many, how many miss the goal, and for certain."""
    of = missed = surely = 0
    for (name, table, world, size), many in results.items():
        oracle = results.get((f"{part}_oracle", table, kind, 0))
        if (name, world) != (part, kind) or not oracle:
            continue
        for change in many[0]["changes"]:
            best = oracle[0][change][str(size)]
            first = [first_p(one["changes"][change]) <= alpha for one in many]
            if best >= 0.5:
                of += 1
                missed += np.mean(first) < POWER * best
                surely += len(first) >= ENOUGH and wilson(sum(first), len(first))[1] < POWER * best
    return of, int(missed), int(surely)


def first_p(one: Any) -> float:  # noqa: ANN401 - JSON
    """The p of a change's first month: drift tells the cause beside them."""
    return float(one[0][0] if isinstance(one[0], list) else one[0])


def known(results: Results, part: str) -> list[str]:
    """Tables of which there are cases."""
    return [
        name for name in MAKERS if any(key[0].split("_")[0] == part and key[1] == name and key[3] for key in results)
    ]


def alarms(results: Results, part: str, table: str, alpha: float) -> list[list[str]]:
    """Rows of false alarms per decision and per quiet year."""
    rang = {
        where: [np.array(one["quiet"]) <= alpha for one in results.get((part, table, *where), [])] for where in WHERE
    }
    count = [str(len(rang[where])) for where in WHERE]
    each = [share(int(np.sum(rang[where])), YEAR * len(rang[where]), most=FALSE_DECISIONS) for where in WHERE]
    years = [
        share(sum(bool(year.any()) for year in rang[where]), len(rang[where]), most=FALSE_YEARS) for where in WHERE
    ]
    return [
        ["champions", *count],
        ["quiet: % of decisions", *each],
        ["quiet: % of years", *years],
    ]


def powers(
    results: Results, part: str, table: str, alpha: float, read: Callable[[Any], list[float]]
) -> list[list[str]]:
    """A row for each change: found in its first month, within three, and by the oracle in its first."""
    names = next((list(one[0]["changes"]) for key, one in results.items() if key[:2] == (part, table)), [])
    return [[name, *(found(results, (part, table, *where), name, alpha, read) for where in WHERE)] for name in names]


def found(
    results: Results, key: tuple[str, str, str, int], name: str, alpha: float, read: Callable[[Any], list[float]]
) -> str:
    """A cell of `powers`."""
    part, table, kind, size = key
    told = [np.array(read(one["changes"][name])) <= alpha for one in results.get(key, [])]
    known = results.get((f"{part}_oracle", table, kind, 0))
    # JSON has text for keys.
    best = known[0][name][str(size)] if known else None
    least = NEW_LEVEL if "new category" in name else POWER * best if best is not None and best >= 0.5 else 0.0
    soon = f" / {100 * np.mean([one.any() for one in told]):.0f}" if told else ""
    beside = f"{soon} / {100 * best:.0f}" if best is not None else soon
    return share(sum(bool(one[0]) for one in told), len(told), least=least, beside=beside)


def drift(results: Results) -> Iterator[str]:
    """The drift gate: false alarms, power, causes named, time."""
    alpha = params().drift.alpha
    for table in known(results, "drift"):
        rows = [
            *alarms(results, "drift_quiet", table, alpha),
            *powers(results, "drift", table, alpha, lambda one: one[0]),
        ]
        rows.append(["ms of CPU a decision", *milliseconds(results, "drift_quiet", table)])
        yield f"### Drift, {table}\n\n" + markdown(["first month / within three / oracle, %", *HEAD], rows)
    rows = []
    for name, (cause, _) in MOVES.items():
        named = [one["changes"][name] for key, many in results.items() if key[0] == "drift" for one in many]
        right = [said == cause for p, said in named if p[-1] <= alpha]
        rows.append([name, str(cause), share(sum(right), len(right))])
    yield "### Drift: the cause that is named\n\n" + markdown(["change", "cause", "% of FAILs that name it"], rows)


def milliseconds(results: Results, part: str, table: str) -> list[str]:
    """Median CPU time of a decision."""
    told = [[one["seconds"] for one in results.get((part, table, *where), [])] for where in WHERE]
    return [f"{1000 * np.median(one):.0f}" if one else "-" for one in told]


def outcomes(results: Results) -> Iterator[str]:
    """The outcome gate: false alarms, power, time."""
    alpha = params().outcomes.alpha
    for table in known(results, "outcomes"):
        rows = [*alarms(results, "outcomes", table, alpha), *powers(results, "outcomes", table, alpha, lambda one: one)]
        rows.append(["ms of CPU a decision", *milliseconds(results, "outcomes", table)])
        yield f"### Outcomes, {table}\n\n" + markdown(["first month / within three / oracle, %", *HEAD], rows)


def promotion(results: Results) -> Iterator[str]:
    """The promotion gate beside the higher F1 and the truth."""
    gain = params().promotion.min_relative_gain
    for table in known(results, "promotion"):
        rows = []
        cells = {where: results.get(("promotion", table, *where), []) for where in WHERE}
        rows.append(["pairs", *(str(len(cells[where])) for where in WHERE)])
        for kind in ("equal", "worse", "better"):
            told = {where: [one[kind] for one in cells[where]] for where in WHERE}
            deserve = {where: float(np.mean([one["gain"] >= gain for one in told[where]] or [0])) for where in WHERE}
            limits = {
                where: {"least": POWER * deserve[where] if deserve[where] >= 0.5 else 0.0}
                if kind == "better"
                else {"most": EQUAL if kind == "equal" else 0.0}
                for where in WHERE
            }
            for name, rule in (("the gate", "promoted"), ("higher F1 wins", "f1")):
                hits = [
                    share(
                        sum(one[rule] for one in told[where]),
                        len(told[where]),
                        **(limits[where] if rule != "f1" else {}),
                    )
                    for where in WHERE
                ]
                rows.append([f"{kind}: {name}", *hits])
            rows.append(
                [f"{kind}: truly {100 * gain:g} % better (oracle)", *(f"{100 * deserve[where]:.0f}" for where in WHERE)]
            )
        yield f"### Promotion, {table}\n\n" + markdown(["% promoted", *HEAD], rows)


def evidently(results: Results) -> Iterator[str]:
    """The drift gate beside Evidently's preset, on the same batches."""
    rows = []
    told = {kind: results.get(("evidently", "churn", kind, 600), []) for kind in KINDS}
    for name in ("quiet", *MOVES):
        line = [name]
        for kind in KINDS:
            cases = [one[name] for one in told[kind]]
            line.append(share(sum(p <= params().drift.alpha for p, _ in cases), len(cases)))
            line += [share(sum(part >= limit for _, part in cases), len(cases)) for limit in (0.5, 0.05)]
        rows.append(line)
    head = [f"{kind}: {rule}" for kind in KINDS for rule in ("the gate", "Evidently's preset", "Evidently, share .05")]
    yield "### Drift beside Evidently, churn, 600\n\n" + markdown(["% of single batches that ring", *head], rows)


def decade(results: Results) -> Iterator[str]:
    """Ten years of profit by policy, and the loop's share of the better of the other two."""
    for kind in KINDS:
        runs = results.get(("decade", "churn", kind, 390), [])
        if not runs:
            continue
        by_year = {
            name: np.array([one["profit"][name] for one in runs]).reshape(len(runs), -1, YEAR).mean(axis=2)
            for name in ("frozen", "monthly", "loop")
        }
        ratio = by_year["loop"] / np.maximum(by_year["frozen"], by_year["monthly"])
        rows = [
            [
                str(year + 1),
                *(f"{by_year[name][:, year].mean():,.0f}" for name in by_year),
                mark(
                    f"{100 * ratio[:, year].mean():.0f} ({100 * ratio[:, year].min():.0f})",
                    ratio[:, year].mean() < PROFIT,
                ),
                *(
                    f"{np.mean([in_year(one[what], year) for one in runs]):.1f}"
                    for what in ("trained", "crowned", "accepted")
                ),
            ]
            for year in range(by_year["loop"].shape[1])
        ]
        head = ["year", *by_year, "loop in % of the better (worst run)", "trainings", "promotions", "accepted"]
        yield f"### Ten years of profit, {kind}, {len(runs)} runs\n\n" + markdown(head, rows)


def mark(text: str, missed: bool) -> str:  # noqa: FBT001
    """In italics what misses its goal."""
    return f"*{text}*" if missed else text


def in_year(months: Sequence[int], year: int) -> int:
    """How many of the months, counted with those learned from, are in a year."""
    return sum(KNOWN + year * YEAR <= month < KNOWN + (year + 1) * YEAR for month in months)


def lasting(results: Results) -> Iterator[str]:
    """How soon the gate is green again after a harmless change that stays, and how often it trained."""
    rows = []
    for table in known(results, "lasting"):
        for kind in KINDS:
            runs = results.get(("lasting", table, kind, 390), [])
            if not runs:
                continue
            red = [[cause != "none" for cause in one["drift"][AT:]] for one in runs]
            last = [max((month for month, is_red in enumerate(one, start=1) if is_red), default=0) for one in red]
            trained = [len(one["trained"]) for one in runs]
            rows.append(
                [
                    f"{table}, {kind}",
                    str(len(runs)),
                    share(sum(any(one) for one in red), len(red)),
                    share(sum(month <= GREEN for month in last), len(last), least=1.0),
                    f"{np.median(last):g} ({max(last)})",
                    mark(f"{np.mean(trained):.1f} ({max(trained)})", max(trained) > TRAININGS),
                    f"{np.mean([len(one['crowned']) for one in runs]):.1f}",
                ]
            )
    told = "years", "% seen", "% green after four months", "last red month (most)", "trainings (most)", "promotions"
    head = ["world", *told]
    yield "### A lasting harmless shift\n\n" + markdown(head, rows)


def rare(results: Results) -> Iterator[str]:
    """In which month the floors hold first where few leave."""
    rows = []
    for kind in KINDS:
        for per_cent in (1, 2, 3):
            runs = results.get(("rare", "churn", kind, per_cent), [])
            first = [one["floors"][-1][0] if one["floors"][-1][1] == "PASS" else None for one in runs]
            if not runs:
                continue
            seen = [month for month in first if month is not None]
            rows.append(
                [
                    f"{kind}, {per_cent} %",
                    str(len(runs)),
                    f"{100 * np.mean([one['best'] for one in runs]):.1f}",
                    f"{100 * np.mean([one['floors'][-1][3] for one in runs]):.1f}",
                    share(sum(month <= 6 for month in seen), len(first), least=1.0),
                    f"{np.median(seen):g} ({min(seen)} to {max(seen)})" if seen else "-",
                ]
            )
    head = [
        "events a month",
        "runs",
        "the truth saves, %",
        "the model saves, %",
        "% with a champion in six months",
        "month",
    ]
    yield "### Rare events: 2,000 rows a month\n\n" + markdown(head, rows)
