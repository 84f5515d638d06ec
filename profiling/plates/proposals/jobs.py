"""Writing a first configuration for a folder of plates."""

import json
import shlex
from pathlib import Path

from profiling.config import parse_settings
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.plates.checks.findings import counted, listed
from profiling.plates.proposals.folders import find_plates
from profiling.plates.proposals.propose import propose
from profiling.plates.proposals.text import config_text, plates_text
from profiling.terminal import say

MOST_REASONS = 10


def init(folder, out, read_header, pattern=None):
    """Write config.yaml and plates.tsv into the folder `out`, and say what was found and what to do next.

    Raises
    ------
    ProfilingError
        If no plate is found, or a file would be overwritten or cannot be written.
    """
    out = Path(out)
    for name in ("config.yaml", "plates.tsv"):
        if (out / name).exists():
            raise ProfilingError(f"{out / name} is there already; remove it or name another folder with --out")
    settings = parse_settings("images", json.dumps({"pattern": pattern} if pattern else {}))
    plates, left_out = find_plates(folder, settings)
    proposal = propose(folder, plates, read_header)
    for name, text in (("config.yaml", config_text(proposal, pattern)), ("plates.tsv", plates_text(proposal.rows))):
        try:
            with whole_file(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ProfilingError(
                f"{out / name}: cannot be written ({error.strerror}); name another folder with --out"
            ) from None
    maps = proposal.barcodes or sum(bool(row["platemap"]) for row in proposal.rows) or "none found"
    nuclei = next(iter(proposal.channels.values()))
    config, screen = shlex.quote(str(out / "config.yaml")), shlex.quote(str(out))
    more = len(left_out) - MOST_REASONS
    say(
        [
            f"{counted(len(proposal.rows), 'plate')} of {proposal.rows[0]['layout']} wells ({proposal.reader}): "
            f"{listed(row['plate'] for row in proposal.rows)}",
            f"channels: {', '.join(proposal.channels.values())}; nuclei: {nuclei}"
            f"{'' if proposal.nuclei_by_name else ' (a guess)'}; plate maps: {maps}",
            *(line for reason in left_out[:MOST_REASONS] for line in f"left out: {reason}".split("\n")),
            *([f"left out: {counted(more, 'more folder')}"] if more > 0 else []),
            "",
            f"written: {out / 'config.yaml'}, {out / 'plates.tsv'}; look at them, correct them, then",
            f"  profiling check {config} --directory {screen}",
            f"  snakemake --cores all --directory {screen}",
        ]
    )
