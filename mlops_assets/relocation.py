"""A home that was moved or restored to another folder: MLflow's database names its artifacts by absolute path.

Everything else in a home is found from its root. MLflow knows no relative address, so the old one is replaced wherever
it stands, when the home is next opened; in one transaction, and only if the artifacts did move.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.request import url2pathname

DATABASE = "mlflow/mlflow.db"
ARTIFACTS = "/mlflow/artifacts"
# No database, or not MLflow's: the home opens all the same, since scoring goes on without MLflow.
DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)


def relocate(root: Path, experiment: str) -> str | None:
    """Let MLflow's database in the home `root` name the files of this home.

    Returns the address that the home had before, None when it did not move, the artifacts lie
    elsewhere (in S3), or the database is damaged.
    """
    path = root / DATABASE
    if not path.is_file():
        return None
    with closing(sqlite3.connect(path, timeout=60)) as database:
        query = "select artifact_location from experiments where name = ?"
        try:
            found = database.execute(query, (experiment,)).fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in DAMAGED:
                return None
            raise
        new = root.as_uri()
        if found is None or found[0] == new + ARTIFACTS or not found[0].startswith("file:"):
            return None
        old = found[0].removesuffix(ARTIFACTS)
        with database:
            for table, column in columns(database):
                for before, after in ((old, new), (plain(old), plain(new))):
                    change = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)'  # noqa: S608 - names from the schema
                    database.execute(change, (f"{before}/", f"{after}/", f"{before}/"))
        return str(old)


def columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every column of every table that holds text."""
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    facts = ((table, row) for table in tables for row in database.execute(f'pragma table_info("{table}")'))
    return [(table, row[1]) for table, row in facts if any(kind in row[2].upper() for kind in ("CHAR", "TEXT"))]


def plain(address: str) -> str:
    """The path of a `file:` address, as other columns hold it."""
    return url2pathname(address.removeprefix("file://"))
