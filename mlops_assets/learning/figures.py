"""Decides what a person is shown of a model: six plain figures, each with its finding as its title.

One scale of ink throughout: the candidate that the title speaks of in strong blue, those it is measured against in
thin orange and grey, what chance or perfection would give in dotted grey. The colours are Okabe and Ito's, which
people who see few colours can tell apart, and the figures are drawn for 480 pixels, the width of a column in the
interface. They are made without pyplot, which keeps figures in a global list, and as bytes they depend on the table
alone.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.learning.inputs import as_levels
from mlops_assets.learning.metrics import Numbers, average_precision, calibration_error, lift, quantile_bin, roc_auc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, PALE, INK = "#0072B2", "#D55E00", "#767676", "#D9D9D9", "#222222"
RIVALS = [ORANGE, "#009E73", "#CC79A7", GREY]
SIZE = (4.8, 3.9)  # inches; 480 pixels wide at 100 per inch
FEW, DOTS = 12, 200  # features that fit, and rows that show how they are spread
COLOURS = 64  # a fifth smaller than 256, and nobody sees it
KEY = "blue: low value    orange: high value    grey: level, \N{UPWARDS ARROW} the one that raises most"


def roc(scores: pd.DataFrame, *, candidate: str) -> "Figure":
    """True against false positive rate at each threshold, of all candidates in `scores`.

    `scores` is `OutOfSampleScores` of one scheme, here and below; ValueError when `candidate` is not in it, or it
    has more schemes.
    """
    figure, axes = _blank("share of those who stayed that are flagged", "share of the leavers that are flagged")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for name, rows, style in _curves(scores, candidate):
        y, score, weight = _arrays(rows)
        caught, wrong = _running(y * weight, score), _running((1 - y) * weight, score)
        axes.plot(wrong, caught, label=f"{name}  {_of_one(roc_auc(y, score, weight))}", **style)
    y, score, weight = _arrays(_only(scores, candidate))
    finding = f"A leaver outranks a stayer {roc_auc(y, score, weight):.1%} of the time"
    return _titled(figure, axes, _if_both(y, finding), "ROC AUC")


def precision_recall(scores: pd.DataFrame, *, candidate: str) -> "Figure":
    """Precision against recall at each threshold, of all candidates in `scores`."""
    figure, axes = _blank("recall: share of the leavers that are flagged", "precision: share of the flagged who left")
    y, score, weight = _arrays(_only(scores, candidate))
    axes.axhline(np.average(y, weights=weight), color=GREY, linestyle=":", linewidth=1)
    for name, rows, style in _curves(scores, candidate):
        labels, ranks, weights = _arrays(rows)
        precision, recall = _precision_recall(labels, ranks, weights)
        axes.plot(recall, precision, label=f"{name}  {_of_one(average_precision(labels, ranks, weights))}", **style)
    precision, recall = _precision_recall(y, score, weight)
    half = precision[min(int(np.searchsorted(recall, 0.5)), len(recall) - 1)]
    finding = f"With half of the leavers flagged, {half:.0%} of flags are right"
    return _titled(figure, axes, _if_both(y, finding), "average precision")


def calibration(scores: pd.DataFrame, *, candidate: str, bins: int) -> "Figure":
    """Share that left against mean score in quantile bins, with 95 % Wilson intervals, and a line for each rival."""
    figure, axes = _blank("mean score of the bin", "share of the bin that left")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for name, rows, style in _curves(scores, candidate):
        table = _binned(rows, bins)
        error = f"{name}  {_of_one(calibration_error(*_arrays(rows), bins=bins))}"
        if name == candidate:  # as points with intervals, its rivals as lines
            reach = np.abs(table[["lower", "upper"]].to_numpy().T - table.left.to_numpy())
            axes.errorbar(table.score, table.left, yerr=reach, fmt="none", color=BLUE, elinewidth=1.2, zorder=4)
            style |= {"marker": "o", "markersize": 4, "linestyle": "none"}
        axes.plot(table.score, table.left, label=error, **style)
    own = _binned(_only(scores, candidate), bins)
    honest = int(((own.lower <= own.score) & (own.score <= own.upper)).sum())
    return _titled(figure, axes, f"Outcomes bear out the score in {honest} of {len(own)} bins", "calibration error")


def confusion(scores: pd.DataFrame, *, candidate: str, threshold: float) -> "Figure":
    """Customers by what the threshold decided and what they did, in numbers and in shares of what they did."""
    y, score, weight = _arrays(_only(scores, candidate))
    flagged = score >= threshold
    counts = np.array([[weight[(y == did) & (flagged == told)].sum() for told in (0, 1)] for did in (0, 1)])
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1e-12)
    figure, axes = _blank(f"decision at a score of {threshold:.2f}", "outcome")
    outcomes = ["stayed", "left"]
    axes.grid(visible=False)
    axes.imshow(shares, cmap=_blues(), vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        shade = "white" if shares[row, column] > 0.5 else INK  # noqa: PLR2004 - where the blue becomes dark
        text = f"{count:,.0f}\n{shares[row, column]:.0%} of those who {outcomes[row]}"
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=11)
    axes.set(xticks=[0, 1], xticklabels=["no offer", "offer"], yticks=[0, 1], yticklabels=outcomes)
    right = counts[1, 1] / max(counts[:, 1].sum(), 1e-12)
    finding = f"{shares[1, 1]:.0%} of leavers get an offer, and {right:.0%} of offers go to one"
    return _titled(figure, axes, _if_both(y, finding))


def gain(scores: pd.DataFrame, *, candidate: str) -> "Figure":
    """Share of the leavers found among the share of customers who score highest, of all candidates in `scores`."""
    figure, axes = _blank("share of customers, highest scores first", "share of the leavers among them")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for name, rows, style in _curves(scores, candidate):
        y, score, weight = _arrays(rows)
        found, reached = _running(y * weight, score), _running(weight, score)
        axes.plot(reached, found, label=f"{name}  {lift(y, score, weight, share=0.1):.2f}", **style)
    y, score, weight = _arrays(_only(scores, candidate))
    prevalence = np.average(y, weights=weight)
    axes.plot([0, prevalence, 1], [0, 1, 1], color=PALE, linewidth=1.2, zorder=1)
    quarter = lift(y, score, weight, share=0.25) * 0.25
    finding = f"The top quarter of scores holds {quarter:.0%} of the leavers"
    return _titled(figure, axes, _if_both(y, finding), "lift at 10 %")


def shap_summary(shap: pd.DataFrame, X: pd.DataFrame) -> "Figure":
    """The features that move scores most: one dot for each of DOTS rows, in log-odds, coloured by the feature's value.

    `shap` and `X`, shape (n, k), n >= 1, same rows and columns. Levels have no order: a categorical feature is grey,
    and an arrow names the level that raises scores most.
    """
    from matplotlib.figure import Figure

    size = shap.abs().mean().sort_values(ascending=False, kind="stable")
    names = list(size.index[:FEW])
    figure = Figure(figsize=(SIZE[0], 1.25 + 0.32 * len(names)), layout="constrained")
    axes = _styled(figure.add_subplot(), "effect on the log-odds of leaving", "")
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    rows = np.unique(np.linspace(0, len(X) - 1, DOTS).round().astype(int))  # spread over the table, not drawn by lot
    for place, name in enumerate(reversed(names)):
        effects = shap[name].to_numpy()[rows]
        colours = _shades(X[name])[rows]
        axes.scatter(effects, place + _swarm(effects), c=colours, s=5, linewidths=0, alpha=0.85, zorder=2)
    axes.set_yticks(range(len(names)), [_named(X[name], shap[name]) for name in reversed(names)], fontsize=8)
    figure.supxlabel(KEY, fontsize=7.5, color=INK)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.grid(visible=False, axis="y")
    top = size.iloc[0] / size.sum() if size.sum() > 0 else 0
    return _titled(figure, axes, f"{top:.0%} of what moves the scores is {names[0]}")


def to_png(figure: "Figure", *, dpi: int) -> bytes:
    """The figure as PNG of COLOURS colours, below 50 kB at 100 dpi; the same figure gives the same bytes.

    Nothing of it names the software or the time. Drawn on the canvas itself, once: `savefig` draws twice.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(dpi)
    canvas, small = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = Image.frombytes("RGBA", canvas.get_width_height(), canvas.buffer_rgba().tobytes())  # type: ignore[no-untyped-call]
    drawn.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def _blank(x: str, y: str) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, _styled(figure.add_subplot(), x, y)


def _styled(axes: "Axes", x: str, y: str) -> "Axes":
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.grid(visible=True, color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return axes


def _titled(figure: "Figure", axes: "Axes", finding: str, legend: str | None = None) -> "Figure":
    figure.suptitle(finding, fontsize=10.5, color=INK, x=0.01, ha="left", fontweight="bold")
    if legend:
        axes.legend(title=legend, fontsize=8, title_fontsize=8, frameon=False, alignment="left")
    return figure


def _if_both(y: Numbers, finding: str) -> str:
    return finding if 0 < y.sum() < len(y) else "One outcome only: there is nothing to tell apart"


def _only(scores: pd.DataFrame, candidate: str) -> pd.DataFrame:
    known, schemes = scores.candidate.unique().tolist(), scores.scheme.unique().tolist()
    if candidate not in known or len(schemes) > 1:
        message = f"a figure of {candidate!r} needs its scores under one scheme; given are {known} under {schemes}."
        raise ValueError(message)
    return scores[scores.candidate == candidate]


def _curves(scores: pd.DataFrame, candidate: str) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """The candidate, drawn on top, then its rivals; each with its rows and how it is drawn."""
    yield candidate, _only(scores, candidate), {"color": BLUE, "linewidth": 2.0, "zorder": 4}
    rivals = [name for name in scores.candidate.unique() if name != candidate]
    for place, name in enumerate(rivals):
        colour = RIVALS[place % len(RIVALS)]
        yield name, scores[scores.candidate == name], {"color": colour, "linewidth": 1.0, "zorder": 3}


def _arrays(rows: pd.DataFrame) -> tuple[Numbers, Numbers, Numbers]:
    y, score, weight = (rows[name].to_numpy(np.float64) for name in ("label", "score", "weight"))
    return y, score, weight


def _running(values: Numbers, score: Numbers) -> Numbers:
    """Share of all `values` at or above each distinct score, highest first, after a 0."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    return np.concatenate([[0.0], np.cumsum(values[order])[ends] / max(values.sum(), 1e-12)])


def _precision_recall(y: Numbers, score: Numbers, weight: Numbers) -> tuple[Numbers, Numbers]:
    recall, flagged = _running(y * weight, score)[1:], _running(weight, score)[1:]
    return recall * np.average(y, weights=weight) / flagged, recall


def _binned(rows: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Mean score, share that left and its 95 % Wilson interval, for each quantile bin of the score.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    y, score, weight = _arrays(rows)
    bin_ = quantile_bin(score, bins)
    total = np.bincount(bin_, weight)
    used = np.flatnonzero(total)
    left, mean = (np.bincount(bin_, weight * values)[used] / total[used] for values in (y, score))
    # Weighted rows tell as much as this many equal ones (Kish).
    n, z = total[used] ** 2 / np.bincount(bin_, weight**2)[used], 1.96
    centre = (left + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(left * (1 - left) / n + z**2 / (4 * n**2))
    return pd.DataFrame({"score": mean, "left": left, "lower": centre - reach, "upper": centre + reach})


def _swarm(effects: Numbers) -> Numbers:
    """Height of each dot, shape (n,), so that those of about equal effect stand side by side and not on one another."""
    cell = np.digitize(effects, np.histogram_bin_edges(effects, 60))
    rank = pd.Series(cell).groupby(cell).cumcount().to_numpy()
    return np.clip(np.where(rank % 2, rank + 1, -rank) * 0.025, -0.4, 0.4)


def _shades(column: pd.Series) -> Any:  # noqa: ANN401 - colours
    """Blue to orange by the rank of the value, grey for levels and no value; RGBA, shape (n, 4)."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    grey = np.array(to_rgba(GREY))
    if not pd.api.types.is_numeric_dtype(column):
        return np.tile(grey, (len(column), 1))
    rank = (column.rank() - 1) / max(column.notna().sum() - 1, 1)
    colours = LinearSegmentedColormap.from_list("value", [BLUE, "#C9C9C9", ORANGE])(rank.fillna(0).to_numpy())
    return np.where(column.notna().to_numpy()[:, None], colours, grey)


def _named(column: pd.Series, effects: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(column):
        return str(column.name)
    raises = effects.groupby(as_levels(column)).mean().idxmax()
    return f"{column.name}\n\N{UPWARDS ARROW} {raises}"


def _blues() -> Any:  # noqa: ANN401 - a colour map
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("share", ["white", BLUE])


def _of_one(value: Numbers) -> str:
    """.850: what lies between 0 and 1, in three digits."""
    return f"{float(value):.3f}".lstrip("0")
