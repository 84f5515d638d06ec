import functools
import json
import os
import re
import shlex

from snakemake.exceptions import WorkflowError

from profiling.config import MODELS, load_config
from profiling.config_files import check_files
from profiling.errors import ProfilingError
from profiling.files import hash_file
from profiling.plates.wells import chunk_wells
from profiling.terminal import visible

try:
    CONFIG = load_config(config)
    check_files(CONFIG)
except ProfilingError as error:
    raise WorkflowError(visible(f"The configuration cannot be run.\n{error}", keep="\n"))

PLATES = {plate.plate: plate for plate in CONFIG.plates if plate.exclude != ["all"]}
NUCLEI_CHANNEL = CONFIG.segmentation.nuclei_channel or CONFIG.channels[0]
CELLS_CHANNEL = CONFIG.segmentation.cells_channel
FOCUS_CHANNEL = CONFIG.images.focus_channel or CONFIG.channels[0]
STACKS = CONFIG.images.makes_images


wildcard_constraints:
    plate="|".join(map(re.escape, PLATES)),
    chunk=r"\d+",


@functools.cache
def settings(section):
    """Settings of a stage that differ from their defaults, with the stage's version, as JSON."""
    return json.dumps(CONFIG.resolved(section), sort_keys=True)


def below_root(path):
    """A path that starts from the root, written so that no command takes it for an option."""
    path = os.path.normpath(os.path.join(CONFIG.root, path))
    return f"./{path}" if path.startswith("-") else path


def source_folder(wildcards):
    """Image folder of a plate."""
    return below_root(PLATES[wildcards.plate].images)


def folder(wildcards, input):
    """Where the paths of a plate's image table start: its image folder, or where images were made of stacks."""
    if not STACKS:
        return source_folder(wildcards)
    return os.path.join(os.path.dirname(os.path.dirname(input.images)), "chunks", wildcards.plate)


def reader_option(wildcards):
    """Reader of a plate as a command-line option, where the plate table names one."""
    name = PLATES[wildcards.plate].reader
    return f"--reader {name}" if name else ""


def platemap_file(wildcards):
    """Plate map of a plate, or no file."""
    name = PLATES[wildcards.plate].platemap
    return [local(below_root(name))] if name else []


def platemap_option(wildcards):
    """Plate map of a plate as a command-line option."""
    return " ".join(f"--map {shlex.quote(path)}" for path in platemap_file(wildcards))


def compounds_file():
    """Table of compounds, or no file."""
    name = CONFIG.platemap.compounds
    return [local(below_root(name))] if name else []


def compounds_option():
    """Table of compounds as a command-line option."""
    return " ".join(f"--compounds {shlex.quote(path)}" for path in compounds_file())


def weights_file(section):
    """The model file that a section names, or no file."""
    chosen = getattr(CONFIG, section)
    if section == "embedding" and chosen.backbone.startswith("file:"):
        return [local(chosen.backbone.removeprefix("file:"))]
    return [] if chosen.weights in (None, "untrained") else [local(chosen.weights)]


@functools.cache
def weights_hash(section):
    """SHA-256 of the model file that a section names: Snakemake (9.27) goes by the time of a file of 1 MB or more."""
    return [hash_file(path) for path in weights_file(section)]


def chunk_count(plate):
    """Chunks of a plate: as the settings say, and no more than it has wells."""
    return min(CONFIG.chunks_per_plate, PLATES[plate].layout)


def chunk_options(wildcards):
    """Layout, chunk and the chunk's excluded wells as command-line options."""
    plate = PLATES[wildcards.plate]
    chunks = chunk_count(wildcards.plate)
    mine = set(chunk_wells(plate.layout, int(wildcards.chunk), chunks))
    excluded = [well for well in plate.exclude if well in mine]
    options = f"--layout {plate.layout} --chunk {wildcards.chunk}/{chunks}"
    return f"{options} --exclude {' '.join(excluded)}" if excluded else options


def chunk_pieces(table):
    """The pieces of a plate's table, one a chunk, as an input function."""

    def pieces(wildcards):
        chunks = range(1, chunk_count(wildcards.plate) + 1)
        return [f"results/chunks/{wildcards.plate}/{chunk}/{table}.parquet" for chunk in chunks]

    return pieces


def label_folders(wildcards):
    """Folders of label images of a plate, one a chunk."""
    chunks = range(1, chunk_count(wildcards.plate) + 1)
    return [f"results/labels/{wildcards.plate}/{chunk}" for chunk in chunks]


def plate_tables(*tables):
    """These tables of all plates."""
    return [f"results/{table}/{plate}.parquet" for table in tables for plate in PLATES]


def screen_tables():
    """The tables of the whole screen."""
    names = ["wells", "treatments", "enrichment", "activity", "variance", "clusters", "failures"]
    return [f"results/{name}.parquet" for name in names]


def memory(megabytes):
    """Memory that doubles with every attempt up to the fourth; more than a node has would never be run."""
    return lambda wildcards, attempt: megabytes * 2 ** min(attempt - 1, 3)
