"""Decides whether a change that promotion has judged is the new normal: the champion is as good in it as it was before.

A change that stays, and that no challenger gains from, would keep the drift gate red for ever; behind a red light
nobody sees the next change. So when promotion has said that nothing is gained, by months since the change, and the
outcomes of those months are what the champion promised, they join what a batch is compared with (`references`).

Both are needed. "No gain" alone may mean that nobody has learned the change yet; outcomes alone are no reason as long
as a challenger may still prove better. A verdict of UNKNOWN on the outcomes of a month (too few rows) speaks for
nothing and against nothing: each outcome verdict is also about the two months before it, so that one PASS speaks of
the others too. That the newest month still fails is not asked for: a small shift is seen in one month and missed in
the next.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mlops_assets.gates.attempts import changed_since
from mlops_assets.gates.promotion import Comparison
from mlops_assets.gates.succession import Contender, Succession
from mlops_assets.gates.verdict import Verdict

GAINS = ("log_loss", "relative_gain")
"""Requirements of a comparison that together say that a gain is proven and worth a change."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether the change first seen in `since` is accepted, and why, in words; `since` is None where it is not.

    `months` join the reference, oldest first. `figures` are those that it was judged by: `gain` in nats of log-loss
    with its interval, `outcomes` in words.
    """

    why: str
    since: str | None = None
    months: tuple[str, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)


def judge_change(
    causes: Collection[str],
    judged: Succession,
    window: Sequence[str],
    outcomes: Mapping[str, Verdict],
    *,
    mature: Collection[str],
    months: int,
    taken_back_by: str | None = None,
) -> Acceptance:
    """Whether the change that a training was asked for is accepted after promotion's verdict `judged`.

    `causes`: keys of the training's causes. `window`: the months of the comparison. `outcomes`: the outcome gate's last
    word about this champion, by month; a month it lacks was not judged. `months`: that the window must have at least.
    `taken_back_by`: who took back an acceptance for this champion; then only a person accepts another.
    """
    since = changed_since(causes)
    if since is None:
        return Acceptance("no change: the training was asked for by no batch")
    if objection := objection_to(judged):
        return Acceptance(f"not accepted: {objection}")
    if objection := objection_of_months(since, window, outcomes, mature=mature, months=months):
        return Acceptance(f"not accepted: {objection}")
    if taken_back_by:
        return Acceptance(f"not accepted: {taken_back_by} took back an earlier acceptance; a person accepts the next")
    passed = sum(outcomes.get(month) is Verdict.PASS for month in window)
    figures = {"gain": gain_in_words(judged.compared), "outcomes": f"as promised in {passed} of {len(window)} months"}
    why = f"no gain proven ({figures['gain']}), outcomes {figures['outcomes']}; the reference takes them in"
    return Acceptance(why, since, tuple(sorted(window)), figures)


def objection_to(judged: Succession) -> str | None:
    """Why promotion's verdict is no reason to accept a change; None if it is one."""
    if judged.verdict is not Verdict.FAIL:
        return f"promotion said {judged.verdict}"
    if not judged.compared:
        return f"nothing was compared with the champion: {judged.why}"
    comparisons = [contender.comparison for contender in judged.compared]
    if any(one is None or one.verdict is Verdict.UNKNOWN for one in comparisons):
        return "a candidate could not be compared with the champion"
    if better := [one.candidate for one in judged.compared if one.comparison and is_better(one.comparison)]:
        return f"{', '.join(better)} gains on the champion, and is kept out by something else"
    if not any(one.floors.verdict is Verdict.PASS for one in judged.compared):
        return "no candidate keeps the floors"
    return None


def is_better(comparison: Comparison) -> bool:
    """Whether a gain is proven and worth a change, though a segment or the AUC may forbid it."""
    gains = [one for one in comparison.by_metric if one.subject in GAINS]
    return comparison.verdict is Verdict.PASS or (bool(gains) and all(one.holds for one in gains))


def objection_of_months(
    since: str, window: Sequence[str], outcomes: Mapping[str, Verdict], *, mature: Collection[str], months: int
) -> str | None:
    """Why the months that were compared are no reason to accept the change; None if they are."""
    if len(window) < months or min(window, default="") < since:
        return f"{sum(month >= since for month in window)} of {months} months since {since} were compared"
    if immature := sorted(set(window) - set(mature)):
        return f"{', '.join(immature)} are not mature"
    if broken := [month for month in sorted(window) if outcomes.get(month) is Verdict.FAIL]:
        return f"the outcomes of {', '.join(broken)} are not what the champion promised"
    if not any(outcomes.get(month) is Verdict.PASS for month in window):
        return "no month's outcomes are known to be what the champion promised"
    return None


def gain_in_words(compared: Sequence[Contender]) -> str:
    """The largest gain of a candidate over the champion, nats of log-loss, with its interval."""
    known = [one.comparison for one in compared if one.comparison and one.comparison.gain is not None]
    best = max(known, key=lambda one: one.gain or 0.0)
    return f"{best.gain:+.4f} [{best.lower:+.4f}, {best.upper:+.4f}]"
