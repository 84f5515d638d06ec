"""The command line: finds the command, runs it, and gives its exit status."""

import argparse
import inspect
import logging
import os
import signal
import sys

from profiling.commands import people, rules  # noqa: F401  (their commands register themselves)
from profiling.commands.registry import COMMANDS
from profiling.errors import ProfilingError
from profiling.terminal import VisibleFormatter, visible

INTERRUPTED = 128 + signal.SIGINT
CLOSED = 128 + 13
"""As a shell has it of a command that SIGPIPE ended."""


def parser():
    """The argument parser of all commands."""
    main_parser = argparse.ArgumentParser(
        prog="profiling",
        description="Image-based phenotypic profiling: from plate images to phenotypes in Parquet tables. "
        "The workflow (snakemake --cores all) runs these commands; people run init, check, status, verify, diff, "
        "partial-report, provenance, rescan, draw, summary, simulate, docs.",
    )
    main_parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (function, options) in COMMANDS.items():
        text = inspect.getdoc(function)
        sub = commands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for names, kwargs in options:
            sub.add_argument(*names, **kwargs)
    return main_parser


def main(argv=None):
    """Run a command and give its exit status; errors meant for people are printed without a traceback."""
    if threads := os.environ.get("OMP_NUM_THREADS"):  # of the job, from Snakemake; OpenCV heeds a variable of its own
        os.environ.setdefault("OPENCV_FOR_THREADS_NUM", threads)
    args = parser().parse_args(argv)
    if args.version or not args.command:
        from importlib.metadata import version

        print(f"profiling {version('profiling')}" if args.version else parser().format_help())
        return 0
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("profiling").setLevel(logging.INFO)
    try:
        status = COMMANDS[args.command][0](args)
        sys.stdout.flush()
    except ProfilingError as error:
        print(visible(f"profiling {args.command}: {error}", keep="\n"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"profiling {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        return CLOSED
    return status or 0


def _output_is_closed():
    """Whether who read the output has stopped, as `head` does; what is left of it then goes nowhere."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
