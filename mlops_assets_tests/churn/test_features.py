"""A feature is a customer's own: the same in any batch, in any order, in training and in scoring."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.churn.features import SEGMENTS, build_features, label_customers, model_inputs, segments
from mlops_assets.churn.schemas import ADD_ONS, NO_INTERNET, CustomerFeatures, LabelledCustomers, fields

lawful = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = ("multiple_lines", "internet_service", *ADD_ONS, "contract", "payment_method")


def outcomes(customers: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """Everybody stayed and got nothing, but for `columns`."""
    facts = {"customer_id": customers.customer_id, "churned": 0, "assignment": "none", "assignment_chance": 1.0}
    return pd.DataFrame({**facts, **columns})


# ----------------------------------------------------------------------------------------------------------- features


def test_features_keep_their_contract_one_row_per_customer_in_order(customers: pd.DataFrame) -> None:
    features = CustomerFeatures.validate(build_features(customers), lazy=True)
    assert features.customer_id.tolist() == customers.customer_id.tolist()


@lawful
@given(rows=st.lists(st.integers(0, 29), unique=True, min_size=1))
def test_a_rows_features_do_not_depend_on_the_other_rows(customers: pd.DataFrame, rows: list[int]) -> None:
    together = build_features(customers).iloc[rows].reset_index(drop=True)
    apart = build_features(customers.iloc[rows].reset_index(drop=True))
    pd.testing.assert_frame_equal(apart, together)


@lawful
@given(row=st.integers(0, 29), other=st.integers(0, 29), scale=st.floats(0, 1e6))
def test_a_change_in_one_customer_changes_nobody_elses_features(
    customers: pd.DataFrame, row: int, other: int, scale: float
) -> None:
    changed = customers.copy()
    changed.loc[row, "monthly_charges"] = scale
    changed.loc[row, "contract"] = customers.contract[other]
    before, after = build_features(customers), build_features(changed)
    pd.testing.assert_frame_equal(after.drop(index=row), before.drop(index=row))


@lawful
@given(has=st.lists(st.sampled_from(["Yes", "No", None]), min_size=6, max_size=6))
def test_optional_services_are_the_add_ons_that_read_yes(customers: pd.DataFrame, has: list[str | None]) -> None:
    row = customers.assign(**dict(zip(ADD_ONS, has, strict=True))).head(1)
    assert build_features(row).num_optional_services.tolist() == [has.count("Yes")]


def test_without_internet_there_are_no_optional_services(customers: pd.DataFrame) -> None:
    offline = customers[customers[ADD_ONS[0]] == NO_INTERNET]
    assert len(offline) > 0
    assert build_features(offline.reset_index(drop=True)).num_optional_services.eq(0).all()


@pytest.mark.parametrize("column", [name for name in fields(CustomerFeatures) if name != "num_optional_services"][1:])
def test_what_is_missing_stays_missing(customers: pd.DataFrame, column: str) -> None:
    blank = customers.copy()
    blank.loc[3, column] = None if column in TEXT else np.nan
    features = CustomerFeatures.validate(build_features(blank), lazy=True)
    assert (
        features[column].isna().tolist() == (build_features(customers)[column].isna() | (features.index == 3)).tolist()
    )


@pytest.mark.parametrize("column", TEXT)
def test_an_unseen_level_survives_as_text(customers: pd.DataFrame, column: str) -> None:
    new = customers.copy()
    new.loc[3, column] = "never seen"
    assert build_features(new)[column][3] == "never seen"


def test_numbers_are_floats_and_levels_are_objects(customers: pd.DataFrame) -> None:
    kinds = build_features(customers).dtypes.astype(str)
    assert {name for name, kind in kinds.items() if kind == "object"} == {"customer_id", *TEXT}
    assert set(kinds) == {"object", "float64"}


def test_a_model_sees_neither_key_nor_label_nor_weight(customers: pd.DataFrame) -> None:
    labelled = label_customers(build_features(customers), outcomes(customers), batch="2024-03")
    assert list(model_inputs(labelled)) == list(model_inputs(build_features(customers)))
    assert set(fields(LabelledCustomers)) - set(model_inputs(labelled)) == {"customer_id", "batch", "label", "weight"}


# ------------------------------------------------------------------------------------------------------------- labels


def test_customers_without_an_outcome_stay_unlabelled(customers: pd.DataFrame) -> None:
    labelled = label_customers(build_features(customers), outcomes(customers).iloc[5:], batch="2024-03")
    assert labelled.customer_id.tolist() == customers.customer_id[5:].tolist()
    LabelledCustomers.validate(labelled, lazy=True)


def test_the_label_is_the_outcome_of_the_same_customer_in_any_order(customers: pd.DataFrame) -> None:
    known = outcomes(customers, churned=[int(row % 3 == 0) for row in range(30)])
    labelled = label_customers(build_features(customers), known.sample(frac=1, random_state=7), batch="2024-03")
    assert labelled.set_index("customer_id").label.to_dict() == known.set_index("customer_id").churned.to_dict()


def test_who_got_an_offer_teaches_nothing_and_control_stands_for_all_who_passed(customers: pd.DataFrame) -> None:
    got = ["offer"] * 9 + ["control"] + ["none"] * 20
    chance = [0.9] * 9 + [0.1] + [1.0] * 20
    known = outcomes(customers, assignment=got, assignment_chance=chance)
    labelled = label_customers(build_features(customers), known, batch="2024-03")
    assert labelled.customer_id.tolist() == customers.customer_id[9:].tolist()
    assert labelled.weight.tolist() == pytest.approx([10.0] + [1.0] * 20)


def test_two_outcomes_of_one_customer_are_an_error(customers: pd.DataFrame) -> None:
    known = outcomes(customers)
    with pytest.raises(pd.errors.MergeError):
        label_customers(build_features(customers), pd.concat([known, known.head(1)]), batch="2024-03")


# ----------------------------------------------------------------------------------------------------------- segments


def test_every_customer_is_in_one_segment_of_each_kind_the_missing_too(customers: pd.DataFrame) -> None:
    blank = customers.copy()
    blank.loc[0, ["contract", "internet_service"]] = None
    blank.loc[0, ["senior_citizen", "female"]] = pd.NA
    cut = segments(build_features(blank).assign(batch="2024-03"))
    kinds = cut.drop(columns=["batch", "customer_id"])
    assert kinds.shape == (30, len(SEGMENTS))
    assert set(kinds.iloc[0]) == {"(missing)"}
    assert not kinds.isna().to_numpy().any()
