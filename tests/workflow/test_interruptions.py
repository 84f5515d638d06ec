"""A run that is interrupted goes on to the results of one that was not."""

import shutil

import pytest
from small_screen import SIGNALS, check_equal, interrupt, make_screen, run, unlock

MOMENTS = [
    ("quality", "SIGINT"),
    ("illumination", "SIGTERM"),
    ("segment", "SIGKILL"),
    ("embed", "SIGINT"),
    ("scale", "SIGTERM"),
    ("features", "SIGKILL"),
    ("map", "SIGINT"),
    ("wells", "SIGTERM"),
    ("enrichment", "SIGKILL"),
]
"""Each signal early, in the middle and late, in the order in which one run comes to these rules."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    screen = make_screen(tmp_path_factory.mktemp("undisturbed"))
    run(screen, "--", "results/models/backbone.json")
    begun = tmp_path_factory.mktemp("interrupted") / "screen"
    shutil.copytree(screen, begun)
    run(screen)
    return screen, begun


def test_nine_interruptions_leave_no_trace(undisturbed):
    whole, screen = undisturbed
    for rule, name in MOMENTS:
        interrupt(screen, SIGNALS[name], rule)
        if name == "SIGKILL":
            unlock(screen)
    run(screen)
    check_equal(screen, whole)
