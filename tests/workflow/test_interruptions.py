"""A run that is interrupted goes on to the results of one that was not."""

import pytest
from small_screen import SIGNALS, check_equal, interrupt, unlock
from starts import snakemake

pytestmark = pytest.mark.xdist_group("small screen")

MOMENTS = [
    ("quality", "SIGINT"),
    ("segment", "SIGKILL"),
    ("embed", "SIGINT"),
    ("merge_cells", "SIGTERM"),
    ("scale", "SIGTERM"),
    ("features", "SIGKILL"),
    ("map", "SIGINT"),
    ("wells", "SIGTERM"),
    ("enrichment", "SIGKILL"),
]
"""Each signal early, in the middle and late, in the order in which one run comes to these rules."""


def test_nine_interruptions_leave_no_trace(undisturbed, begun):
    for rule, name in MOMENTS:
        interrupt(begun, SIGNALS[name], rule)
        if name == "SIGKILL":
            unlock(begun)
    snakemake(begun)
    check_equal(begun, undisturbed)
