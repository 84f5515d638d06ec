"""A run that is interrupted goes on to the results of one that was not."""

import pytest
from small_screen import SIGNALS, check_equal, interrupt, unlock
from starts import snakemake

pytestmark = pytest.mark.xdist_group("small screen")

MOMENTS = [("illumination", "SIGTERM"), ("segment", "SIGKILL"), ("map", "SIGINT")]
"""Early, in the middle and late, in the order in which one run comes to these rules; test_faults.py tries many more."""


def test_an_interruption_of_each_kind_leaves_no_trace(undisturbed, begun):
    for rule, name in MOMENTS:
        interrupt(begun, SIGNALS[name], rule)
        if name == "SIGKILL":
            unlock(begun)
    snakemake(begun)
    check_equal(begun, undisturbed)
