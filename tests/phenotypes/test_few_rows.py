"""Screens of few rows, such as one of whole fields."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from profiling.phenotypes.feature_jobs import reduce
from profiling.phenotypes.models import load_arrays, save_arrays
from profiling.phenotypes.reduce import Reduction as Fitted
from profiling.phenotypes.reduce import moments, transform
from profiling.settings import Reduction


@pytest.mark.parametrize(("rows", "kept"), [(12, 2), (48, 4), (400, 40), (2000, 50)])
def test_whitening_leaves_rows_that_differ_apart(tmp_path, rows, kept):
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, 60)).astype(np.float32)
    x[: rows // 2, :2] += 6
    n, mean, cov = moments(x)
    save_arrays(
        tmp_path / "fit.npz", plate="P", reason="", names=np.array([f"f{i}" for i in range(60)]),
        median=np.zeros(60), mad=np.ones(60), clip=10.0, n=n, mean=mean, cov=cov,
    )  # fmt: skip
    reduce([tmp_path / "fit.npz"], Reduction(), tmp_path / "reduction.npz")
    arrays = load_arrays(tmp_path / "reduction.npz")
    fitted = Fitted(*(arrays[name] for name in Fitted._fields))
    assert len(fitted.components) == len(fitted.variance) == len(fitted.variance_ratio) == kept
    scores = transform(x, fitted)
    within = np.concatenate([pdist(scores[: rows // 2]), pdist(scores[rows // 2 :])]).mean()
    between = np.linalg.norm(scores[: rows // 2, None] - scores[None, rows // 2 :], axis=2).mean()
    assert between > 1.02 * within, "whitened to the last component they would all be equally far apart"
