"""A churn model that looks after itself, as one Dagster asset graph."""
