from hypothesis import settings

# The same examples on every run, and no deadline: machines that are shared differ tenfold in speed.
settings.register_profile("tests", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("tests")


def pytest_collection_modifyitems(items):
    """Tests that run whole workflows come first: one that began last would leave the other workers idle."""
    items.sort(key=lambda item: item.path.parent.name not in ("workflow", "results"))
