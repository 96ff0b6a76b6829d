import numpy as np
import pandas as pd
import pytest

from vitscope.bootstrap import bootstrap_weights, mean_interval
from vitscope.table import COLUMNS, Exhibit, Table, concat


def rows(model="a", images=11, seed=0):
    values = np.random.default_rng(seed).normal(3, 1, images).astype(np.float32)
    return Table(
        pd.DataFrame({"model": model, "measure": "m", "image": range(images), "value": values})
    )


def test_a_table_has_the_columns_of_the_schema_and_null_where_nothing_applies():
    table = rows()
    assert tuple(table.frame.columns) == COLUMNS
    assert table.frame["layer"].isna().all()
    with pytest.raises(ValueError, match="unknown: depth"):
        Table(pd.DataFrame({"depth": [1]}))


def test_what_is_saved_is_loaded(tmp_path):
    exhibit = Exhibit("maps", "a/b", {"x": np.arange(6).reshape(2, 3)}, {"grid": [2, 3]})
    table = Table(rows().frame, {"models": {"a": {"spec": "x"}}}, (exhibit,))
    loaded = Table.load(table.save(tmp_path / "deep" / "t.parquet"))
    pd.testing.assert_frame_equal(loaded.frame, table.frame)
    assert loaded.notes == table.notes
    assert loaded.exhibits[0].labels == {"grid": [2, 3]}
    np.testing.assert_array_equal(loaded.exhibits[0].arrays["x"], exhibit.arrays["x"])


@pytest.mark.parametrize("content", [None, b"", b"no parquet"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a Table \(Parquet\) at .*t\.parquet"):
        Table.load(tmp_path / "t.parquet")


def test_a_table_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(ValueError, match=r"at .*nothing\.parquet; there is no such file"):
        Table.load(tmp_path / "nothing.parquet")
    with pytest.raises(ValueError, match="it is a folder"):
        Table.load(tmp_path)


def test_a_folder_in_the_place_of_a_table_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "out").mkdir()
    table = Table(rows().frame, {}, (Exhibit("maps", "a", {"x": np.zeros(2)}),))
    with pytest.raises(ValueError, match="expected a file to write, got a folder"):
        table.save(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]
    (tmp_path / "maps--a.npz").mkdir()
    with pytest.raises(ValueError, match="expected a file to write, got a folder"):
        table.exhibits[0].save(tmp_path)


def test_a_table_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = rows().save(tmp_path / "t.parquet")
    before = path.read_bytes()

    def full(frame, target, **options):
        target.write_bytes(b"PAR1 cut off")
        raise OSError("no space left")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="the previous file is intact"):
        rows("b").save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "changed", "npy", "no facts"])
def test_a_damaged_exhibit_is_named(tmp_path, damage):
    path = Exhibit("maps", "a", {"x": np.random.default_rng(0).random(999)}).save(tmp_path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    contents = {"empty": b"", "text": b"no exhibit", "cut": whole[:middle]}
    contents["changed"] = whole[:middle] + bytes(50) + whole[middle + 50 :]
    if damage in contents:
        path.write_bytes(contents[damage])
    else:
        with open(path, "wb") as file:
            (np.save if damage == "npy" else np.savez)(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"expected an exhibit \(NPZ\) at .*maps--a\.npz"):
        Exhibit.load(path)


def test_select_takes_values_lists_and_null():
    table = concat([rows("a"), rows("b"), rows("c")])
    assert set(table.select(model="b").frame["model"]) == {"b"}
    assert set(table.select(model=["a", "c"]).frame["model"]) == {"a", "c"}
    assert len(table.select(layer=None)) == len(table)


def test_concat_merges_notes():
    first = Table(notes={"models": {"a": 1}, "warnings": ["x"], "mode": "p"})
    second = Table(notes={"models": {"b": 2}, "warnings": ["x", "y"], "mode": "q"})
    merged = concat([first, second]).notes
    assert merged == {"models": {"a": 1, "b": 2}, "warnings": ["x", "y"], "mode": ["p", "q"]}


def test_an_image_has_the_same_weights_in_any_batch_and_order():
    weights = bootstrap_weights(np.array([5, 2, 9]))
    np.testing.assert_array_equal(weights[:, ::-1], bootstrap_weights(np.array([9, 2, 5])))
    np.testing.assert_array_equal(weights[:, :1], bootstrap_weights(np.array([5])))


def test_weights_are_poisson_with_mean_and_variance_one():
    weights = bootstrap_weights(np.arange(2000))
    assert weights.mean() == pytest.approx(1, abs=0.01)
    assert weights.var() == pytest.approx(1, abs=0.02)
    between = np.corrcoef(weights.T[:50])[np.triu_indices(50, 1)]
    assert abs(between.mean()) < 0.01


def test_the_interval_is_that_of_the_mean():
    """Against the textbook: mean +- 1.96 standard errors."""
    values = np.random.default_rng(1).normal(7, 2, 4000)
    mean, low, high = mean_interval(values, np.arange(4000))
    assert mean == values.mean()
    error = 1.96 * values.std() / np.sqrt(4000)
    assert (mean - low) == pytest.approx(error, rel=0.25)
    assert (high - mean) == pytest.approx(error, rel=0.25)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        values = generator.exponential(1.0, 100)
        _, low, high = mean_interval(values, np.arange(100) + 1000 * trial)
        covered += low < 1.0 < high
    assert 0.87 <= covered / 200 <= 0.99


def test_summary_averages_heads_before_images():
    frame = pd.DataFrame(
        {
            "model": "a",
            "measure": "m",
            "image": [0, 0, 0, 1],
            "head": [0, 1, 2, 0],
            "value": [1.0, 2, 3, 8],
        }
    )
    summary = Table(frame).summary(by=("model", "measure"))
    assert summary["mean"].item() == 5.0  # (2 + 8) / 2, not 14 / 4
    assert summary["num_images"].item() == 2


def test_summary_of_a_curve_uses_its_replicates():
    replicates = pd.DataFrame(
        {"model": "a", "coordinate": 0.5, "replicate": range(200), "value": np.arange(200.0)}
    )
    mean = pd.DataFrame({"model": "a", "coordinate": 0.5, "value": [42.0]})
    summary = Table(pd.concat([mean, replicates])).summary(by=("model", "coordinate"))
    assert summary["mean"].item() == 42
    assert summary["low"].item() == pytest.approx(4.975)
    assert summary["high"].item() == pytest.approx(194.025)
