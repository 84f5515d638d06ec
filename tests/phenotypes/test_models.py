import numpy as np
import pytest

from profiling.errors import ProfilingError
from profiling.phenotypes.models import load_arrays, save_arrays


def test_round_trip(tmp_path):
    path = tmp_path / "models" / "scaler.npz"
    save_arrays(path, median=np.arange(3.0), names=np.array(["a", "bc"]), k=15)
    loaded = load_arrays(path)
    assert sorted(loaded) == ["k", "median", "names"] and loaded["names"].tolist() == ["a", "bc"]
    np.testing.assert_array_equal(loaded["median"], np.arange(3.0))
    assert [p.name for p in path.parent.iterdir()] == ["scaler.npz"]


def test_objects_are_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "scaler.npz"
    save_arrays(path, a=1)
    with pytest.raises(TypeError, match="names"):
        save_arrays(path, names=np.array(["a", None], dtype=object))
    with pytest.raises(ValueError, match="npz"):
        save_arrays(tmp_path / "scaler.pkl", a=1)
    assert load_arrays(path)["a"] == 1 and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_unpacks_to_more_than_its_size_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "scaler.npz", median=np.zeros(10_000))
    with pytest.raises(ProfilingError, match="scaler.npz: unpacks to 80128 bytes"):
        load_arrays(tmp_path / "scaler.npz")
