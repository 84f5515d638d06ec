"""What is printed and logged: names from files can hold characters that steer a terminal."""

import logging
import re

_STEERING = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, those that turn the direction of writing, and what is no character."""


def visible(text, keep=""):
    """A text with what steers a terminal as an escape (``\\x1b``), save the characters in ``keep``."""
    return _STEERING.sub(lambda one: one[0] if one[0] in keep else one[0].encode("unicode_escape").decode(), text)


def say(lines):
    """Print lines, each of which stays one line."""
    for line in lines:
        print(visible(line))


class VisibleFormatter(logging.Formatter):
    """Formats messages of a log so that they steer no terminal on which the log is shown."""

    def format(self, record):
        """The message as text."""
        return visible(super().format(record), keep="\n\t")
