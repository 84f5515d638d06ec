"""A plate that cannot be normalised is left out, with the reason."""

import numpy as np
import pytest
from commands import PLATES

from profiling.cli import main
from profiling.phenotypes.feature_jobs import flat_channels
from profiling.phenotypes.models import load_arrays

pytestmark = pytest.mark.xdist_group("results")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ('{"minimum_cells": 2}', ""),
        (
            '{"minimum_cells": 1000}',
            "0 reference wells (negative_control) have 1000 cells or more that no flag excludes",
        ),
        ('{"minimum_cells": 2, "minimum_wells": 99}', "99 are needed"),
    ],
)
def test_reference_wells_count_that_have_enough_cells(small_screen, tmp_path, settings, reason):
    words = ["scale", "--settings", settings, "--out", str(tmp_path / "scaler.npz")]
    for option in ("embeddings", "cells", "flags", "cell-flags", "platemap"):
        folder = {"cell-flags": "cell_flags", "platemap": "platemaps"}.get(option, option)
        words += [f"--{option}", str(small_screen / "results" / folder / f"{PLATES[0]}.parquet")]
    assert main(words) == 0
    found = str(load_arrays(tmp_path / "scaler.npz")["reason"])
    assert reason in found and bool(found) == bool(reason)


def test_a_channel_is_flat_where_most_of_its_features_are():
    names = np.array([f"Embedding_{channel}[{number}]" for channel in ("DNA", "ER, 2") for number in range(4)])
    assert flat_channels(names, np.array([0, 1, 0, 0, 1, 1, 1, 0], bool)) == ["ER, 2"]
    assert flat_channels(names, np.zeros(8, bool)) == []
