"""Everything that can be tuned, typed: `params.yaml` holds the values, this module their type, unit and range.

There are no defaults here, so that a number has one home. An unknown key, a wrong type or a value out of range is an
error that names the key and the range: a mistyped limit that is silently ignored is worse than no limit.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MODEL_SECTIONS = ("model", "baseline", "economics")
"""Sections that a training reads; two trainings with the same digest of these learn in the same way."""

Share = Annotated[float, Field(ge=0, le=1)]
Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="YYYY-MM")]


class ParamsError(ValueError):
    """`params.yaml` is not usable; the message lists each key with what is allowed."""


class Section(BaseModel):
    """One part of the tree; frozen, and closed to unknown keys."""

    # Neither infinity nor NaN: NaN passes every comparison, and so every range.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Landing(Section):
    """What may be read at all."""

    max_megabytes: int = Field(ge=1, le=4096, description="largest file that is read, in MiB")


class Quality(Section):
    """When a batch is too broken to be used."""

    max_quarantined_share: Share = Field(description="of a batch's rows; above it the batch is not published")


class Sample(Section):
    """The protocol of `mlops demo --sample` and `dvc repro`."""

    seed: int = Field(ge=0, description="deals the source table into months")
    as_of: Month
    score_batch: Month


class Model(Section):
    """The recipe of a candidate; `docs/model.md` measures it."""

    iterations: int = Field(ge=10, le=5000, description="trees")
    depth: int = Field(ge=1, le=10)
    learning_rate: float = Field(gt=0, le=1)
    l2_leaf_reg: float = Field(ge=0, le=1000)
    one_hot_max_size: int = Field(ge=2, le=255, description="levels up to which a column is one-hot encoded")
    seed: int = Field(ge=0, le=2**31 - 1)
    half_life_batches: float = Field(gt=0, le=120, description="months; of the recency-weighted candidate")
    folds: int = Field(ge=2, le=20)
    min_rolling_batches: int = Field(ge=1, le=60, description="months learned from before one is scored")
    max_rolling_batches: int = Field(ge=1, le=60, description="newest months scored by rolling origin")


class Baseline(Section):
    """The spline logistic regression that every champion is held against."""

    inverse_regularisation: float = Field(gt=0, le=1000, description="C of scikit-learn")
    knots: int = Field(ge=3, le=20, description="of each numeric column's cubic spline")


class Economics(Section):
    """What an offer costs and brings, in the currency of `monthly_charges`; sets the decision threshold."""

    offer_cost: float = Field(gt=0)
    kept_customer_value: float = Field(gt=0)
    success_rate: float = Field(gt=0, le=1, description="share of leavers whom an offer keeps")

    @model_validator(mode="after")
    def an_offer_can_pay(self) -> Self:
        """Otherwise no score would ever be high enough, and the threshold would not exist."""
        if self.offer_cost >= self.kept_customer_value * self.success_rate:
            message = "offer_cost must be below kept_customer_value x success_rate, or no offer can pay"
            raise ValueError(message)
        return self


class Offers(Section):
    """Who among those above the threshold gets an offer."""

    enabled: bool
    control_share: float = Field(gt=0, lt=1, description="held out by lot among those above the threshold")
    seed: int = Field(ge=0)


class Evaluation(Section):
    """How figures get their intervals."""

    interval: float = Field(gt=0.5, lt=1, description="coverage, share")
    resamples: int = Field(ge=50, le=10_000, description="of the bootstrap")
    calibration_bins: int = Field(ge=2, le=100, description="quantile bins of the calibration error")
    seed: int = Field(ge=0)


class Floors(Section):
    """What every champion must reach, the first too."""

    min_gain_over_prevalence: float = Field(ge=0, le=1, description="share of the prevalence's log-loss; lower end")
    max_calibration_error: float = Field(ge=0, le=1, description="standard deviations of the label, beyond chance")
    max_loss_behind_baseline: float = Field(ge=0, le=1, description="share of the prevalence's log-loss")


class Promotion(Section):
    """What a challenger must show against the champion."""

    months: int = Field(ge=1, le=24, description="newest mature months compared, all newer than the champion's as_of")
    interval: float = Field(gt=0.5, lt=1)
    min_relative_gain: float = Field(ge=0, lt=1, description="share of the champion's log-loss")
    max_auc_loss: float = Field(ge=0, lt=1, description="area that must not be proven lost")
    segment_tolerance: float = Field(
        ge=0, le=1, description="share of the champion's log-loss in a segment that it may lose for certain"
    )
    min_rows: int = Field(ge=10, description="effective rows compared below which the verdict is UNKNOWN")
    approval: Literal["automatic", "manual"] = Field(description="manual: a PASS waits for a person's signature")


class Drift(Section):
    """When a move counts as drift."""

    alpha: float = Field(gt=0, lt=0.5, description="false alarms per batch, share")
    min_rows: int = Field(ge=10, description="effective rows below which the verdict is UNKNOWN")
    min_effect: Share = Field(description="of the rows: fewer that moved are no drift, however sure")
    reference_months: int = Field(ge=1, le=60, description="newest training months that are the reference")


class Outcomes(Section):
    """When matured scores count as worse than promised."""

    alpha: float = Field(gt=0, lt=0.5, description="false alarms per batch, share")
    min_rows: int = Field(ge=10, description="effective rows below which the verdict is UNKNOWN")
    min_effect: Share = Field(description="of the prevalence's log-loss: less at stake is no FAIL, however sure")


class Coverage(Section):
    """When the outcomes of a batch count as those of a selected part."""

    alpha: float = Field(gt=0, lt=0.5, description="false alarms per batch whose outcomes miss by chance, share")
    max_missing: Share = Field(description="of a batch's customers without an outcome; up to it nothing is compared")
    min_rows: int = Field(ge=10, description="customers with an outcome below which a part is no evidence")
    months: int = Field(ge=1, le=60, description="newest earlier months that say what is to be expected")


class Loop(Section):
    """What the loop may do by itself; everything but the pause is counted in batches."""

    min_months: int = Field(ge=1, le=60, description="mature months before the first champion is trained")
    cooldown_batches: int = Field(ge=0, le=24, description="batches after a decided training before the next")
    budget: int = Field(ge=1, le=100, description="decided trainings in budget_batches")
    budget_batches: int = Field(ge=1, le=60)
    breaker: int = Field(ge=1, le=100, description="challengers without gain in a row before a person is called")
    attempts: int = Field(ge=1, le=20, description="attempts at the same training after faults")
    backoff_seconds: float = Field(ge=0, le=86_400, description="pause after the first fault; doubles")
    overdue_outcomes: int = Field(ge=1, le=24, description="newer scored months after which outcomes are overdue")
    snapshot_due_day: int = Field(ge=0, le=28, description="of the next month, when a snapshot is overdue; 0: never")
    settle_seconds: float = Field(ge=0, le=3600, description="a file is left alone until it was unchanged so long")
    runs_per_tick: int = Field(ge=1, le=100, description="deliveries that a tick of the landing sensor takes")


class Params(Section):
    """The whole tree."""

    landing: Landing
    quality: Quality
    sample: Sample
    model: Model
    baseline: Baseline
    economics: Economics
    offers: Offers
    evaluation: Evaluation
    floors: Floors
    promotion: Promotion
    drift: Drift
    outcomes: Outcomes
    coverage: Coverage
    loop: Loop

    def digest(self, *sections: str) -> str:
        """Digest of the named sections (all, if none is named): md5 of their canonical JSON, 32 hex digits."""
        tree = self.model_dump(mode="json", include=set(sections) or None)
        return hashlib.md5(json.dumps(tree, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


class OnceLoader(yaml.SafeLoader):
    """A safe loader that refuses a key written twice, where YAML would let the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """The mapping. Raises YAMLError naming the key and its line."""
        keys = [key.value for key, _ in node.value]
        if twice := [key for key, _ in node.value if keys.count(key.value) > 1]:
            message = f"key {twice[-1].value!r} is there twice, again in line {twice[-1].start_mark.line + 1}"
            raise yaml.YAMLError(message)
        return super().construct_mapping(node, deep)


def load_params(path: Path) -> Params:
    """The tree in the YAML file at `path`.

    Raises ParamsError, naming file, key, value and what is allowed, when it cannot be used.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=OnceLoader)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        message = f"{path} is missing. Restore it with `git checkout {path.name}`."
        raise ParamsError(message) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        message = f"{path} cannot be read: {error}"
        raise ParamsError(message) from error
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        lines = (f"  {key_of(e)}: {e['msg']}{seen(e)}{allowed(e)}" for e in error.errors())
        message = f"{path} cannot be used:\n" + "\n".join(lines)
        raise ParamsError(message) from None


def key_of(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Dotted key of one of pydantic's error details."""
    return ".".join(map(str, error["loc"])) or "params.yaml"


def seen(error: Any) -> str:  # noqa: ANN401
    """The value that was refused, where showing it helps."""
    value = error["input"]
    return f" (it is {value!r})" if isinstance(value, (str, int, float)) and error["type"] != "missing" else ""


def allowed(error: Any) -> str:  # noqa: ANN401
    """What the key may be: the range of a number, or the keys of its section."""
    section: type[BaseModel] = Params
    *path, name = [str(part) for part in error["loc"]] or [""]
    for part in path:
        inner = section.model_fields[part].annotation if part in section.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        section = inner
    if error["type"] == "extra_forbidden":
        return f"; known keys: {', '.join(section.model_fields)}"
    field = section.model_fields.get(name)
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "pattern": "matches"}
    rules = field.metadata if field else []
    limits = ", ".join(f"{signs[k]} {getattr(rule, k)}" for rule in rules for k in signs if hasattr(rule, k))
    return f"; allowed: {limits}" if limits else ""
