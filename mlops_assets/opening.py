"""Opening the running system for a command: what is wrong with home or parameters becomes a message and an exit code.

Exit codes of all commands: 0 done, 1 a run was stopped, nothing was there to do it with, or a person is needed, 2 a
wrong call or a file that was refused.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlops_assets.operate import System

REFUSED = 2


@contextmanager
def running() -> Iterator["System"]:
    """The running system of the home in force; what is wrong with the parameters becomes a message."""
    from sqlalchemy.exc import OperationalError

    from mlops_assets.churn.reading import FileRefused
    from mlops_assets.files import DamagedError
    from mlops_assets.home import WrongEnvironmentError, home_from_environment
    from mlops_assets.operate import system
    from mlops_assets.params import ParamsError
    from mlops_assets.partitions import BatchNameError
    from mlops_assets.resources import params_from_environment
    from mlops_assets.storage import NotMaterializedError

    try:
        with system(home_from_environment(), params_from_environment()) as opened:
            yield opened
    except (FileRefused, ParamsError, BatchNameError, WrongEnvironmentError) as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(REFUSED)
    except BrokenPipeError:  # whoever read our output has left; click ends quietly
        raise
    except (NotMaterializedError, DamagedError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OperationalError as error:  # no space, no access, a damaged database
        where = home_from_environment().root
        click.echo(
            f"error: a database in {where} cannot be used: {error.orig}. No table is half-written. "
            "Make room or give access there, then run it again.",
            err=True,
        )
        sys.exit(1)
