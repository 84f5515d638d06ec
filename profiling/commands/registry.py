"""How a function becomes a command, and the options that several share."""

import argparse
from pathlib import Path

from profiling.config import parse_settings

COMMANDS = {}


def option(*names, **kwargs):
    """One command-line option, as :meth:`argparse.ArgumentParser.add_argument` takes it."""
    return names, kwargs


def path(name, text, **kwargs):
    """An option for a path, required."""
    return option(name, help=text, type=Path, required=True, **kwargs)


def count(text):
    """A whole number from 1, as the type of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def settings(section, name="--settings"):
    """An option for the settings of a stage, as the JSON that its rule passes."""

    def parse(text):
        try:
            return parse_settings(section, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    text = f"settings of `{section}` that differ from their defaults, as JSON"
    return option(name, help=text, type=parse, default="{}", metavar="JSON")


def command(name, *options):
    """Register a function as a command; its docstring is the command's help."""

    def register(function):
        COMMANDS[name] = (function, options)
        return function

    return register


PLATE = option("--plate", help="name of the plate", required=True)
LAYOUT = option("--layout", help="wells of the plate", type=int, required=True)
CHANNELS = option("--channels", help="channels, in the order of the configuration", nargs="+", required=True)
NUCLEI = option("--nuclei-channel", help="channel of the nuclei", required=True)
SEED = option("--seed", help="seed", type=int, default=0)
THREADS = option("--threads", help="threads", type=int, default=1)
IMAGES = path("--images", "image table of the plate")
FOLDER = path("--folder", "image folder of the plate")
FLATFIELDS = path("--flatfields", "folder of the plate's flat fields")
OUT = path("--out", "file to write")
WELLS = path("--wells", "wells table")
DEVICE = (
    option("--device", help="where the network runs", choices=["auto", "cuda", "mps", "cpu"]),
    option("--batch-size", help="images a forward pass on a GPU", type=int),
)
CHUNK = (
    LAYOUT,
    option("--chunk", help="chunk of the plate, as 2/8", required=True),
    option("--exclude", help="wells to leave out", nargs="*", default=[]),
)
SELECTION = (
    path("--embeddings", "embeddings of the plate"),
    path("--cells", "cell table of the plate"),
    path("--flags", "flags of the plate's images"),
    path("--cell-flags", "flags of the plate's cells"),
    path("--platemap", "platemaps table of the plate"),
)
RESULTS = option("results", help="results folder", type=Path, nargs="?", default=Path("results"))
