"""A small screen that the tests of results share, made once a session."""

import pytest
from commands import make_screen


@pytest.fixture(scope="session")
def small_screen(tmp_path_factory):
    """The working directory of a small screen that has run; tests that change it take a copy."""
    return make_screen(tmp_path_factory.mktemp("results") / "screen")
