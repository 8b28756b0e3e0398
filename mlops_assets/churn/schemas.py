"""The contracts of the customers' tables: the only place that knows a column of them.

Types, ranges, nulls and rules across columns stand here once; cleaning, asset checks, the column docs of the UI and
the typed empty frames derive from them. What is impossible is a rule, and a row that breaks one is quarantined. What is
merely new (a level never seen, a value missing) is no rule: a contract that refuses news hides drift from the gates.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pandera.pandas as pa

ADD_ONS = ("online_security", "online_backup", "device_protection", "tech_support", "streaming_tv", "streaming_movies")
NO_INTERNET = "No internet service"
NO_PHONE = "No phone service"
ASSIGNMENTS = ("offer", "control", "none")

ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z"  # \Z, since $ would let a line end pass
YES_NO = {"No": 0, "Yes": 1}
ADD_ON_LEVELS = ("No", "Yes", NO_INTERNET)

# The one table that knows the original public export: our column, its name there, and the words it has for our 0 and 1.
# Words for text columns are the same in both forms.
PUBLIC_EXPORT: dict[str, tuple[str, dict[str, int]]] = {
    "customer_id": ("customerID", {}),
    "female": ("gender", {"Male": 0, "Female": 1}),
    "senior_citizen": ("SeniorCitizen", {}),
    "partner": ("Partner", YES_NO),
    "dependents": ("Dependents", YES_NO),
    "tenure": ("tenure", {}),
    "phone_service": ("PhoneService", YES_NO),
    "multiple_lines": ("MultipleLines", {}),
    "internet_service": ("InternetService", {}),
    "online_security": ("OnlineSecurity", {}),
    "online_backup": ("OnlineBackup", {}),
    "device_protection": ("DeviceProtection", {}),
    "tech_support": ("TechSupport", {}),
    "streaming_tv": ("StreamingTV", {}),
    "streaming_movies": ("StreamingMovies", {}),
    "contract": ("Contract", {}),
    "paperless_billing": ("PaperlessBilling", YES_NO),
    "payment_method": ("PaymentMethod", {}),
    "monthly_charges": ("MonthlyCharges", {}),
    "total_charges": ("TotalCharges", {}),
    "churned": ("Churn", YES_NO),
}


def flag(description: str) -> Any:  # noqa: ANN401 - what pa.Field gives
    """A 0/1 column; nullable, since a missing value is news and no fault."""
    return pa.Field(isin=[0, 1], nullable=True, description=f"{description}; 0 no, 1 yes")


def level(description: str, *levels: str) -> Any:  # noqa: ANN401 - what pa.Field gives
    """A text column with its known levels, which are knowledge and not a rule: another one is news."""
    return pa.Field(nullable=True, description=f"{description}: {', '.join(levels)}", metadata={"levels": levels})


class Customers(pa.DataFrameModel):
    """What every table of customers says of one; one row per customer of the batch."""

    customer_id: str = pa.Field(unique=True, str_matches=ID, description="key of the customer; no meaning of its own")
    female: pd.Int64Dtype = flag("customer is a woman")
    senior_citizen: pd.Int64Dtype = flag("customer is 65 or older")
    partner: pd.Int64Dtype = flag("customer lives with a partner")
    dependents: pd.Int64Dtype = flag("customer lives with dependents")
    tenure: pd.Int64Dtype = pa.Field(ge=0, le=1200, nullable=True, description="whole months since joining")
    phone_service: pd.Int64Dtype = flag("customer has a telephone line")
    multiple_lines: str = level("more than one line", "No", "Yes", NO_PHONE)
    internet_service: str = level("kind of internet access", "DSL", "Fiber optic", "No")
    online_security: str = level("add-on", *ADD_ON_LEVELS)
    online_backup: str = level("add-on", *ADD_ON_LEVELS)
    device_protection: str = level("add-on", *ADD_ON_LEVELS)
    tech_support: str = level("add-on", *ADD_ON_LEVELS)
    streaming_tv: str = level("add-on", *ADD_ON_LEVELS)
    streaming_movies: str = level("add-on", *ADD_ON_LEVELS)
    contract: str = level("how long the customer is bound", "Month-to-month", "One year", "Two year")
    paperless_billing: pd.Int64Dtype = flag("bills come by e-mail")
    payment_method: str = level(
        "how bills are paid",
        "Electronic check",
        "Mailed check",
        "Bank transfer (automatic)",
        "Credit card (automatic)",
    )
    monthly_charges: float = pa.Field(ge=0, le=1e6, nullable=True, description="billed per month, currency units")
    total_charges: float = pa.Field(
        ge=0, le=1e9, nullable=True, description="billed to date, currency units; missing until the first bill"
    )


class ValidatedCustomers(Customers):
    """Customers of a batch, typed and free of contradictions; one row per customer, in the order they landed."""

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True

    @pa.dataframe_check(description="add-ons need internet access, and internet access has them or not")
    @classmethod
    def add_ons_need_internet(cls, table: pd.DataFrame) -> pd.Series:
        """An add-on reads 'No internet service' exactly when there is none."""
        offline = table.internet_service.eq("No")
        known = table.internet_service.notna()
        holds = pd.Series(data=True, index=table.index)
        for add_on in ADD_ONS:
            holds &= table[add_on].isna() | ~known | (table[add_on].eq(NO_INTERNET) == offline)
        return holds

    @pa.dataframe_check(description="lines need a telephone, and a telephone has one or several")
    @classmethod
    def lines_need_a_phone(cls, table: pd.DataFrame) -> pd.Series:
        """`multiple_lines` reads 'No phone service' exactly when there is none."""
        unknown = table.phone_service.isna() | table.multiple_lines.isna()
        return unknown | (table.multiple_lines.eq(NO_PHONE) == table.phone_service.eq(0).fillna(value=False))


# What quarantine shows of a row that breaks a rule across columns, by the rule's name: the columns that it reads.
SPANS = {
    "add_ons_need_internet": ("internet_service", *ADD_ONS),
    "lines_need_a_phone": ("phone_service", "multiple_lines"),
}


class ValidatedOutcomes(pa.DataFrameModel):
    """Whether a customer of the batch left in the month after the snapshot, and what offer they got before."""

    customer_id: str = pa.Field(unique=True, str_matches=ID, description="a customer of the batch")
    churned: int = pa.Field(isin=[0, 1], description="left in the month after the snapshot; 0 stayed, 1 left")
    assignment: str = pa.Field(isin=ASSIGNMENTS, description="what the customer got; none where the file has none")
    assignment_chance: float = pa.Field(gt=0, le=1, description="chance of that assignment, share; 1 where absent")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True


class RawRows(pa.DataFrameModel):
    """A landed file as it is: every cell as text, with the file and line it came from; foreign columns stay."""

    source_file: str = pa.Field(description="name of the landed file below the inbox")
    source_md5: str = pa.Field(str_matches=r"^[0-9a-f]{32}$", description="digest of the landed file")
    source_line: int = pa.Field(ge=2, unique=True, description="line of the row in that file; the header is line 1")
    source_text: str = pa.Field(nullable=True, description="the line itself, only where it does not fit the header")

    @pa.dataframe_check(description="a landed file holds rows")
    @classmethod
    def has_rows(cls, table: pd.DataFrame) -> bool:
        """A file without rows is refused before it gets here."""
        return len(table) > 0


class QuarantinedRows(pa.DataFrameModel):
    """Rows that broke their contract: with every rule they broke, their file and line; nothing is dropped silently."""

    customer_id: str = pa.Field(nullable=True, description="as landed; missing where it could not be read")
    rules: str = pa.Field(str_length={"min_value": 1}, description="every rule the row broke, separated by '; '")
    values: str = pa.Field(description="the offending values as landed, separated by '; '")
    source_file: str = pa.Field(description="name of the landed file below the inbox")
    source_line: int = pa.Field(ge=2, unique=True, description="line of the row in that file; the header is line 1")
    row: str = pa.Field(description="the whole row as landed, as JSON")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True


class CustomerFeatures(pa.DataFrameModel):
    """What the model sees of a customer: numbers as float64, open levels as text, one row per customer."""

    customer_id: str = pa.Field(unique=True, str_matches=ID, description="key; not a model input")
    female: float = flag("customer is a woman")
    senior_citizen: float = flag("customer is 65 or older")
    partner: float = flag("customer lives with a partner")
    dependents: float = flag("customer lives with dependents")
    tenure: float = pa.Field(ge=0, nullable=True, description="whole months since joining")
    phone_service: float = flag("customer has a telephone line")
    multiple_lines: str = pa.Field(nullable=True, description="more than one line")
    internet_service: str = pa.Field(nullable=True, description="kind of internet access")
    online_security: str = pa.Field(nullable=True, description="add-on")
    online_backup: str = pa.Field(nullable=True, description="add-on")
    device_protection: str = pa.Field(nullable=True, description="add-on")
    tech_support: str = pa.Field(nullable=True, description="add-on")
    streaming_tv: str = pa.Field(nullable=True, description="add-on")
    streaming_movies: str = pa.Field(nullable=True, description="add-on")
    contract: str = pa.Field(nullable=True, description="how long the customer is bound")
    paperless_billing: float = flag("bills come by e-mail")
    payment_method: str = pa.Field(nullable=True, description="how bills are paid")
    monthly_charges: float = pa.Field(ge=0, nullable=True, description="billed per month, currency units")
    total_charges: float = pa.Field(ge=0, nullable=True, description="billed to date, currency units")
    num_optional_services: float = pa.Field(ge=0, le=len(ADD_ONS), description="add-ons the customer has, count")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True


class LabelledCustomers(CustomerFeatures):
    """Features with the outcome as what a model learns, and the weight each row learns with."""

    batch: str = pa.Field(str_matches=r"^\d{4}-\d{2}$", description="month of the snapshot")
    label: int = pa.Field(isin=[0, 1], description="0 stayed, 1 left in the month after the snapshot")
    weight: float = pa.Field(gt=0, description="1, or the inverse chance of a control customer; no unit")


def fields(schema: type[pa.DataFrameModel]) -> list[str]:
    """Column names of a contract, in order."""
    return list(schema.to_schema().columns)


def as_landed(name: str, doc: str, columns: Iterable[str]) -> type[RawRows]:
    """Contract of a landed file that has `columns`, each as nullable text."""
    body: dict[str, object] = {column: pa.Field(nullable=True, description="as landed") for column in columns}
    body |= {"__annotations__": dict.fromkeys(columns, str), "__doc__": doc, "__module__": __name__}
    return type(name, (RawRows,), body)


OUTCOME_COLUMNS = ("customer_id", "churned")
OPTIONAL_OUTCOME_COLUMNS = ("assignment", "assignment_chance")  # absent: none, 1
RawCustomers = as_landed("RawCustomers", f"Customers. {RawRows.__doc__}", fields(Customers))
RawOutcomes = as_landed("RawOutcomes", f"Outcomes. {RawRows.__doc__}", OUTCOME_COLUMNS)


class Predictions(pa.DataFrameModel):
    """What the champion says of each customer of the batch, and what is to be done."""

    customer_id: str = pa.Field(unique=True, str_matches=ID, description="a customer of the batch")
    score: float = pa.Field(ge=0, le=1, description="probability of leaving in the next month")
    decision: bool = pa.Field(description="the score passed the champion's threshold")
    assignment: str = pa.Field(isin=ASSIGNMENTS, description="what the customer is to get")
    assignment_chance: float = pa.Field(gt=0, le=1, description="chance of that assignment, share")
    reason_1: str = pa.Field(description="feature that moved the score most, with its SHAP value in log-odds")
    reason_2: str = pa.Field(description="the second")
    reason_3: str = pa.Field(description="the third")
    model_md5: str = pa.Field(str_matches=r"^[0-9a-f]{32}$", description="digest of the champion's model")
    is_in_sample: bool = pa.Field(description="the champion learned from this batch: no gate may judge by it")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True


def levels(column: str) -> tuple[str, ...]:
    """Known levels of a text column of `Customers`; empty for the others."""
    return tuple((ValidatedCustomers.to_schema().columns[column].metadata or {}).get("levels", ()))
