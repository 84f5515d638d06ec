"""The base of all errors that are written for the person who runs the workflow."""


class ProfilingError(ValueError):
    """Something in the input or the settings cannot be used; the message says where, what and the remedy.

    The command line prints such a message without a traceback.
    """


class ConfigError(ProfilingError):
    """A configuration that cannot be run; the message says where, what and the remedy."""
