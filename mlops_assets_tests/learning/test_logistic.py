"""The baselines stand whatever the table holds, and rank real customers about as well as trees do."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.learning.logistic import plain_logistic_fitter, spline_logistic_fitter
from mlops_assets.learning.metrics import roc_auc
from mlops_assets.learning.training import Fitter, out_of_fold

Known = dict[str, NDArray[Any]]

FITTERS = {
    "plain": plain_logistic_fitter(),
    "spline": spline_logistic_fitter(inverse_regularisation=0.05, knots=6),
}
both = pytest.mark.parametrize("fitter", FITTERS.values(), ids=FITTERS.keys())


@both
def test_it_ranks_customers_it_never_saw(
    fitter: Fitter, inputs: pd.DataFrame, labels: NDArray[np.int64], known: Known
) -> None:
    scores = out_of_fold(inputs, labels, **known, fitter=fitter, folds=3, seed=1).score.to_numpy()

    assert roc_auc(labels.astype(float), scores, np.ones(len(labels))) > 0.8


@both
def test_two_fits_give_the_same_scores(
    fitter: Fitter, inputs: pd.DataFrame, labels: NDArray[np.int64], known: Known
) -> None:
    first, second = (fitter(inputs, labels, known["weights"], known["batches"])(inputs) for _ in range(2))

    assert (first == second).all()


@both
def test_columns_without_a_value_or_without_a_change_do_no_harm(
    fitter: Fitter, inputs: pd.DataFrame, labels: NDArray[np.int64], known: Known
) -> None:
    dull = inputs.assign(empty=np.nan, same=3.0, none=pd.Series(None, index=inputs.index, dtype=object))
    plain, with_them = (fitter(rows, labels, known["weights"], known["batches"])(rows) for rows in (inputs, dull))

    np.testing.assert_allclose(with_them, plain, atol=0.01)


@both
def test_unseen_levels_and_extreme_numbers_get_a_score(
    fitter: Fitter, inputs: pd.DataFrame, labels: NDArray[np.int64], known: Known
) -> None:
    scorer = fitter(inputs, labels, known["weights"], known["batches"])
    scores = scorer(inputs.head(2).assign(contract="Two weeks", monthly_charges=[1e6, np.nan]))

    assert ((scores >= 0) & (scores <= 1)).all()


@both
def test_numbers_alone_and_levels_alone_can_be_learned_from(
    fitter: Fitter, inputs: pd.DataFrame, labels: NDArray[np.int64], known: Known
) -> None:
    for kind in ("number", "object"):
        columns = inputs.select_dtypes(kind)
        scores = fitter(columns, labels, known["weights"], known["batches"])(columns)
        assert np.isfinite(scores).all()


@both
def test_a_column_that_lacks_is_named(
    fitter: Fitter, inputs: pd.DataFrame, labels: NDArray[np.int64], known: Known
) -> None:
    scorer = fitter(inputs, labels, known["weights"], known["batches"])

    with pytest.raises(ValueError, match=r"lack \['contract'\]"):
        scorer(inputs.drop(columns="contract"))


def test_splines_follow_a_curve_that_a_line_cannot() -> None:
    # Those in the middle leave; of a line every score would be about the share of leavers.
    x = np.linspace(-3, 3, 600)
    rows, y = pd.DataFrame({"x": x}), (np.abs(x) < 1).astype(int)
    spline, plain = (f(rows, y, np.ones(600), np.full(600, "2024-01"))(rows) for f in reversed(FITTERS.values()))

    assert spline[y == 1].mean() - spline[y == 0].mean() > 0.4
    assert plain[y == 1].mean() - plain[y == 0].mean() < 0.1


def test_many_equal_values_leave_enough_knots() -> None:
    # Nine tenths at 0: all but the last quantiles coincide.
    x = np.concatenate([np.zeros(540), np.linspace(1, 50, 60)])
    rows, y = pd.DataFrame({"x": x}), (x > 20).astype(int)
    scores = FITTERS["spline"](rows, y, np.ones(600), np.full(600, "2024-01"))(rows)

    assert roc_auc(y.astype(float), scores, np.ones(600)) > 0.95
