from hypothesis import settings

# The same examples on every run, and no deadline: machines that are shared differ tenfold in speed.
settings.register_profile("tests", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("tests")
