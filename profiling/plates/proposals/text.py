"""A proposal as the files that a person edits."""

import csv
import io
import json

import yaml


def config_text(proposal, pattern=None):
    """The proposal as a commented config.yaml.

    Parameters
    ----------
    proposal : profiling.plates.proposals.propose.Proposal
    pattern : str, optional
        The pattern that the plates were read with, if one was given.

    Returns
    -------
    str
    """
    names = list(proposal.channels.values())
    renamed = any(theirs != ours for theirs, ours in proposal.channels.items())
    nuclei = "by its name" if proposal.nuclei_by_name else "a guess: the first; correct it"
    lines = [
        "# Proposed by `profiling init`: edit it, then run `profiling check`.",
        "# Every key, its unit and default: config/README.md of profiling. What is left out here has its default.",
        "",
        "plates: plates.tsv # one row a plate: images, layout (wells), plate map, batch, wells to exclude",
        f"root: {_value(proposal.root)} # folder that the paths in the plate table start from",
        f"channels: {_value(names)} # their order is that of the embeddings",
        f"chunks_per_plate: {proposal.chunks} # jobs that share the pixel work of a plate: ten minutes each on a CPU",
        "",
        "images:",
        f"  reader: {proposal.reader if proposal.reader != 'pattern' else 'auto'}{_reader_comment(proposal)}",
    ]
    if pattern:
        lines.append(f"  pattern: {_value(pattern)}")
    if renamed or proposal.some_plates:
        lines.append("  channel_names: # the instrument's name: ours; channels not named here are left out")
        lines += [f"    {_quoted(theirs)}: {_value(ours)}" for theirs, ours in proposal.channels.items()]
        lines += [f"    # {_quoted(name)}: not on most plates" for name in proposal.some_plates]
    elif any(len(name) < 3 or name[-1].isdigit() for name in names):
        shown = ", ".join(f"{json.dumps(name)}: ..." for name in names)
        lines.append(f"  # channel_names: {{{shown}}} # names for the channels; then change `channels`, too")
    if proposal.z:
        what = "the instrument's own" if proposal.z == "projection" else "over the planes"
        lines.append(f"  z: {proposal.z} # of stacks, {what}; or focus, all, or a plane's number")
    if proposal.times > 1:
        lines.append(f"  time: all # {proposal.times} time points, each a field of its own; or a time point's number")
    lines += [
        f"  pixel_size: {proposal.pixel_size:g} # um, as the export says"
        if proposal.pixel_size
        else "  # pixel_size: 0.65 # um; needed where a length is given in um",
        "",
        "quality:",
        f"  bit_depth: {_bit_depth(proposal.dtypes)}",
        "",
        "segmentation:",
        f"  nuclei_channel: {_value(names[0])} # {nuclei}",
        *([f"  # cells_channel: {_value(names[1])} # of the cell bodies; left out: cells are rings around the nuclei"]
          if len(names) > 1 else []),
        f"  # nucleus_diameter: {'15 um' if proposal.pixel_size else '24 px'} # left out: estimated on every image",
        "",
        "embedding:",
        f"  crop: {'60 um' if proposal.pixel_size else '96 px'} # side of the square cut around a nucleus",
    ]  # fmt: skip
    if proposal.barcodes:
        lines += ["", "platemap:", f"  barcodes: {_value(proposal.barcodes)} # plates and their plate maps"]
    elif not any(row["platemap"] for row in proposal.rows):
        lines += [
            "",
            "normalisation:",
            "  reference: all # no plate map was found; with one: negative_control",
        ]
    return "\n".join(lines) + "\n"


def _bit_depth(dtypes):
    if dtypes == ["uint8"]:
        return "8 # of the camera"
    return f"16 # of the camera: 12 or 14 where it fills no more of {' and '.join(dtypes) or 'the files'}"


def _reader_comment(proposal):
    found = "by the names of the files" if proposal.reader == "pattern" else "as found"
    others = sorted({row["reader"] for row in proposal.rows} - {""})
    return f" # {found}" + (f"; some plates have another in the plate table ({', '.join(others)})" if others else "")


def _quoted(name):
    """A name in quotes; escaped where it has a line break, which JSON has fewer of than YAML."""
    return json.dumps(name, ensure_ascii=not name.isprintable())


def _value(value):
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def plates_text(rows):
    """Rows of the plate table as tab-separated text; columns without a value are left out, but those people fill."""
    columns = [
        name
        for name in ("plate", "images", "reader", "layout", "platemap", "batch", "exclude")
        if name != "reader" or any(row[name] for row in rows)
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, delimiter="\t", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
