"""The champion on disk is whole: its row names its files by digest, and what differs from its name is refused."""

from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.champions import crown, read_champion
from mlops_assets.files import DamagedError, md5
from mlops_assets.learning.records import Champions
from mlops_assets.storage import Bundle, Layers, table_bytes

REFERENCE = pd.DataFrame({"customer_id": ["a", "b"], "score": [0.1, 0.9], "label": [0, 1]})
VERDICT, MODEL, SCORES = b'{"verdict": "PASS"}', b"a model", b"scores"


def candidate(model: bytes = MODEL) -> pd.Series:
    """A row of `Candidates`."""
    digest = "0" * 32
    facts = {"training_md5": digest, "params_md5": digest, "as_of": "2024-05", "batches": 5, "rows": 1960}
    said = {"threshold": 0.3, "is_reproducible": True, "description": "a model that somebody fitted"}
    return pd.Series({"candidate": "all_history", "model_md5": md5(model), "scores_md5": md5(SCORES), **facts, **said})


def crowned(model: bytes = MODEL) -> Bundle:
    """A champion's table and files."""
    return crown(candidate(model), model=model, scores=SCORES, reference=REFERENCE, verdict=VERDICT)


@pytest.fixture
def there(tmp_path: Path) -> Layers:
    """Layers in which a champion lies."""
    layers = Layers(tmp_path)
    layers.write("champion", crowned())
    return layers


def test_before_the_first_there_is_none(tmp_path: Path) -> None:
    assert read_champion(Layers(tmp_path)) is None


def test_its_row_keeps_the_contract() -> None:
    Champions.validate(crowned().table, lazy=True)


def test_what_was_crowned_is_what_is_read(there: Layers) -> None:
    champion = read_champion(there)
    assert champion is not None
    assert (champion.candidate, champion.model, champion.threshold) == ("all_history", MODEL, 0.3)
    assert (champion.as_of, champion.model_md5, champion.verdict_md5) == ("2024-05", md5(MODEL), md5(VERDICT))
    pd.testing.assert_frame_equal(champion.reference, REFERENCE)


def test_every_file_is_named_by_its_digest() -> None:
    assert all(Path(name).stem == md5(content) for name, content in crowned().files.items())


def test_the_same_crowning_gives_the_same_bytes() -> None:
    first, second = crowned(), crowned()
    assert first.files == second.files
    assert table_bytes(first.table) == table_bytes(second.table)


@pytest.mark.parametrize("suffix", [".cbm", ".parquet"])
def test_a_file_with_other_bytes_is_refused_and_named(there: Layers, suffix: str) -> None:
    row = there.read("champion").iloc[0]
    name = f"{row.model_md5 if suffix == '.cbm' else row.reference_md5}{suffix}"
    path = there.path("champion").parent / name
    path.write_bytes(b"something else")
    with pytest.raises(DamagedError) as raised:
        read_champion(there)
    assert str(path) in str(raised.value)


def test_a_file_that_is_gone_is_refused_and_named(there: Layers) -> None:
    path = there.path("champion").parent / f"{md5(MODEL)}.cbm"
    path.unlink()
    with pytest.raises(DamagedError) as raised:
        read_champion(there)
    assert str(path) in str(raised.value)


def test_a_successor_replaces_every_file_of_the_one_before(there: Layers) -> None:
    there.write("champion", crowned(b"a better model"))
    champion = read_champion(there)
    assert champion is not None
    assert champion.model == b"a better model"
    assert not (there.path("champion").parent / f"{md5(MODEL)}.cbm").exists()


def test_a_successor_that_came_between_two_looks_is_read_instead(there: Layers) -> None:
    class Slow(Layers):
        """Layers in which the champion is replaced just after its row was read for the first time."""

        def read(self, name: str, batch: str | None = None) -> pd.DataFrame:
            """The table as it was; once only, another champion is there afterwards."""
            table = Layers.read(self, name, batch)
            if table.model_md5.iloc[0] == md5(MODEL):
                there.write("champion", crowned(b"a better model"))
            return table

    champion = read_champion(Slow(there.root))
    assert champion is not None
    assert champion.model == b"a better model"
