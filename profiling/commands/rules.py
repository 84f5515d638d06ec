"""Commands of the workflow's rules."""

from pathlib import Path

from profiling.commands.registry import (
    CHANNELS,
    CHUNK,
    DEVICE,
    FLATFIELDS,
    FOLDER,
    IMAGES,
    LAYOUT,
    NUCLEI,
    OUT,
    PLATE,
    RESULTS,
    SEED,
    SELECTION,
    THREADS,
    WELLS,
    command,
    option,
    path,
    settings,
)


def wells_of(args):
    """Wells of the chunk that the options name."""
    from profiling.plates.wells import chunk_wells

    chunk, _, chunks = args.chunk.partition("/")
    return chunk_wells(args.layout, int(chunk), int(chunks), args.exclude)


def on_device(args):
    """Settings of the embedding with the options of speed, which its rules pass beside them."""
    given = {"device": args.device, "batch_size": args.batch_size}
    return args.settings.model_copy(update={name: value for name, value in given.items() if value is not None})


@command(
    "images", PLATE, FOLDER, LAYOUT, CHANNELS, settings("images"), OUT,
    path("--out-unplaced", "table of the files that could not be placed"),
    option("--reader", help="reader of this plate's folder, instead of the one in the settings"),
)  # fmt: skip
def images(args):
    """List the images of a plate.

    Reads names and headers, never pixels. Images that are expected and absent, and those whose header cannot be
    read, stand in the table with their reason; files that fit no well or channel are listed apart.
    """
    from profiling.images.read import read_header
    from profiling.plates.jobs import index

    index(
        args.plate,
        args.folder,
        args.layout,
        args.channels,
        args.settings,
        read_header,
        args.out,
        args.out_unplaced,
        args.reader,
    )


@command(
    "make-images", path("--planes", "table of the plate's planes"), FOLDER, *CHUNK, settings("images"),
    option("--focus-channel", help="channel that chooses the plane", required=True), OUT,
    path("--out-folder", "folder for the images"), THREADS,
)  # fmt: skip
def make_images(args):
    """Make one image of every stack of a chunk: the maximum over its planes, or the sharpest of them."""
    from profiling.images.stack_jobs import make_images

    make_images(
        args.planes,
        args.folder,
        wells_of(args),
        args.settings,
        args.focus_channel,
        args.out,
        args.out_folder,
        args.threads,
    )


@command(
    "usable", path("--quality", "quality table of the plate"),
    option("--max-failed", help="share of the images that may have failed", type=float, required=True), OUT,
)  # fmt: skip
def usable(args):
    """Say how many images of a plate failed; stop where they are too many."""
    from profiling.images.jobs import usable

    usable(args.quality, args.max_failed, args.out)


@command(
    "platemap", PLATE, LAYOUT, IMAGES, option("--batch", help="batch of the plate"),
    option("--map", help="plate map of the plate (CSV, TSV or .xlsx)", type=Path),
    option("--compounds", help="table of compounds", type=Path), settings("platemap"), OUT,
)  # fmt: skip
def platemap(args):
    """Read a plate map and join it to the wells that have images; name the wells that stand on one side only."""
    from profiling.plates.jobs import join

    join(args.plate, args.batch, args.layout, args.images, args.map, args.settings, args.out, args.compounds)


@command("quality", IMAGES, FOLDER, *CHUNK, settings("quality"), OUT, THREADS)
def quality(args):
    """Measure focus, saturation, background, noise and a pixel hash on the raw images of a chunk."""
    from profiling.images.jobs import quality

    quality(args.images, args.folder, wells_of(args), args.settings, args.out, args.threads)


@command("illumination", IMAGES, FOLDER, CHANNELS, settings("illumination"), OUT, THREADS)
def illumination(args):
    """Fit flat field and dark offset of each channel of a plate; writes one TIFF a channel into the folder --out."""
    from profiling.images.jobs import illumination

    illumination(args.images, args.folder, args.channels, args.settings, args.out, args.threads)


@command("limits", IMAGES, FOLDER, FLATFIELDS, CHANNELS, settings("limits"), OUT, THREADS)
def limits(args):
    """Find the corrected intensities of a plate and channel that become 0 and 1 for the network."""
    from profiling.images.jobs import limits

    limits(args.images, args.folder, args.flatfields, args.channels, args.settings, args.out, args.threads)


@command(
    "segment", IMAGES, FOLDER, FLATFIELDS, *CHUNK, CHANNELS, settings("segmentation"), THREADS,
    path("--out-cells", "cells of the chunk"), path("--out-fields", "fields of the chunk"),
    path("--out-labels", "folder of the chunk's label images"),
)  # fmt: skip
def segment(args):
    """Segment nuclei and cells of a chunk, measure them, and write label images, cells and fields."""
    from profiling.cells.jobs import segment

    segment(
        args.images, args.folder, args.flatfields, wells_of(args), args.channels, args.settings,
        args.out_cells, args.out_fields, args.out_labels, args.threads,
    )  # fmt: skip


@command(
    "units", IMAGES, *CHUNK, option("--unit", help="what is profiled", choices=["field", "tile"], required=True),
    settings("tiles"), path("--out-cells", "units of the chunk, in the place of cells"),
    path("--out-fields", "fields of the chunk"), path("--out-labels", "folder that stays empty"),
)  # fmt: skip
def units(args):
    """List the fields or tiles of a chunk in the place of its cells. Reads no pixel."""
    from profiling.cells.unit_jobs import units

    units(args.images, wells_of(args), args.unit, args.settings, args.out_cells, args.out_fields, args.out_labels)


@command(
    "overlays", IMAGES, FOLDER, FLATFIELDS, path("--fields", "fields table of the plate"),
    option("--labels", help="folders of the label images of the plate's chunks", nargs="+", type=Path, required=True),
    option("--channels", help="channel of the nuclei and, if any, that of the cell bodies", nargs="+", required=True),
    settings("overlays"), OUT,
)  # fmt: skip
def overlays(args):
    """Draw the outlines of nuclei and cells on fields of a plate: its corner wells and its lowest scores."""
    from profiling.cells.overlay_jobs import overlays

    overlays(
        args.images, args.folder, args.flatfields, args.fields, args.labels, args.channels, args.settings, args.out
    )


@command("backbone", settings("embedding"), OUT)
def backbone(args):
    """Load the backbone, which downloads its weights where they do not come with the installation.

    Runs on the machine that starts the workflow, so that compute nodes need no network.
    """
    from profiling.embeddings.jobs import fetch_backbone

    fetch_backbone(args.settings, args.out)


@command(
    "embed", IMAGES, FOLDER, FLATFIELDS, path("--limits", "intensity limits of the plate"),
    path("--segmented", "cells of the chunk"), path("--labels", "label images of the chunk"),
    path("--backbone", "what `profiling backbone` recorded"), *CHUNK, CHANNELS, settings("embedding"), THREADS,
    *DEVICE, option("--precision", help="what `profiling precision` recorded, where the choice is its", type=Path),
    path("--out-embeddings", "embeddings of the chunk"), path("--out-cells", "cell table of the chunk"),
    path("--out-thumbnails", "thumbnails of the chunk"),
)  # fmt: skip
def embed(args):
    """Embed the cells of a chunk with a pretrained network."""
    from profiling.embeddings.jobs import embed

    embed(
        args.images, args.folder, args.flatfields, args.limits, args.segmented, args.labels, args.backbone,
        wells_of(args), args.channels, on_device(args), args.out_embeddings, args.out_cells, args.out_thumbnails,
        args.precision, args.threads,
    )  # fmt: skip


@command(
    "precision", IMAGES, FOLDER, FLATFIELDS, path("--limits", "intensity limits of the plate"),
    option("--segmented", help="cells of the plate's chunks", nargs="+", type=Path, required=True),
    option("--labels", help="label images of the chunks, in their order", nargs="+", type=Path, required=True),
    path("--backbone", "what `profiling backbone` recorded"), CHANNELS, settings("embedding"), THREADS, *DEVICE, OUT,
)  # fmt: skip
def precision(args):
    """Decide whether bf16 is as good as fp32 on a sample of the plate's own cells."""
    from profiling.embeddings.precision_jobs import choose_precision

    choose_precision(
        args.images, args.folder, args.flatfields, args.limits, args.segmented, args.labels, args.backbone,
        args.channels, on_device(args), args.out, args.threads,
    )  # fmt: skip


@command(
    "merge",
    option(
        "--table", nargs="+", action="append", required=True, metavar=("NAME", "OUT"),
        help="name of a table, the file to write, and the pieces to join; may be given again",
    ),
)  # fmt: skip
def merge(args):
    """Join the pieces of tables, sorted by their keys."""
    from profiling.tables import merge_tables

    for name, out, *pieces in args.table:
        merge_tables(pieces, out, name)


@command(
    "flag", path("--quality", "quality table of the plate"), path("--fields", "fields table of the plate"),
    path("--cells", "cell table of the plate"), NUCLEI, settings("flags"), OUT,
    path("--out-cells", "flags of the cells"),
)  # fmt: skip
def flag(args):
    """Flag images and cells of a plate by name; reads no pixel.

    Images: lost, blank, out of focus, saturated, duplicate, badly segmented. Cells: border, debris, dead, mitotic,
    irregular, outlier.
    """
    from profiling.cells.flag_jobs import flag

    flag(args.cells, args.nuclei_channel, args.settings, args.out_cells)
    from profiling.images.jobs import flag

    flag(args.quality, args.fields, args.nuclei_channel, args.settings, args.out)


@command("scale", *SELECTION, settings("normalisation"), OUT)
def scale(args):
    """Fit the normalisation of a plate on its negative controls."""
    from profiling.phenotypes.feature_jobs import scale

    scale(args.embeddings, args.cells, args.flags, args.cell_flags, args.platemap, args.settings, args.out)


@command("reduce", option("scalers", help="fits of all plates", nargs="+", type=Path), settings("reduction"), OUT)
def reduce(args):
    """Fit principal components over all plates, each with the same weight."""
    from profiling.phenotypes.feature_jobs import reduce

    reduce(args.scalers, args.settings, args.out)


@command(
    "features", *SELECTION, path("--scaler", "fit of the plate"), path("--reduction", "principal components"), OUT,
    path("--out-left", "table of the cells that flags leave out"),
)  # fmt: skip
def features(args):
    """Normalise and reduce the embeddings of a plate; join its plate map and apply its flags."""
    from profiling.phenotypes.feature_jobs import features

    features(
        args.embeddings, args.cells, args.flags, args.cell_flags, args.platemap, args.scaler, args.reduction, args.out,
        args.out_left,
    )  # fmt: skip


FEATURES = option("features", help="features tables of all plates", nargs="+", type=Path)


@command("cluster", FEATURES, settings("clusters"), SEED, OUT, path("--out-sweep", "table of the sweep over k"))
def cluster(args):
    """Fit k-means on a sample of all plates and report silhouette and stability across k."""
    from profiling.phenotypes.cluster_jobs import clusters

    clusters(args.features, args.settings, args.seed, args.out, args.out_sweep)


@command("map", FEATURES, settings("map"), SEED, OUT)
def map_cells(args):
    """Fit the t-SNE map on a sample of all plates."""
    from profiling.phenotypes.cluster_jobs import map_cells

    map_cells(args.features, args.settings, args.seed, args.out)


@command(
    "frozen-models", path("--from", "results folder of the screen whose models are taken", dest="source"),
    path("--backbone", "what `profiling backbone` recorded"), CHANNELS,
    option("--unit", help="what is profiled", choices=["cell", "field", "tile"], default="cell"),
    settings("tiles", "--tiles"), settings("embedding", "--embedding"), settings("normalisation", "--normalisation"),
    path("--out", "results folder of this screen"),
)  # fmt: skip
def frozen_models(args):
    """Take principal components, clusters and map of another screen, if they fit, and fit nothing."""
    from profiling.phenotypes.frozen_jobs import take_models

    take_models(
        args.source, args.backbone, args.channels, args.unit, args.tiles, args.embedding, args.normalisation, args.out
    )


@command(
    "phenotypes", path("--features", "features of the plate"), path("--clusters", "cluster model"),
    path("--map", "map model"), settings("map"), SEED,
    option("--frozen", help="the map has not seen the plate: place a sample of its cells", action="store_true"), OUT,
)  # fmt: skip
def phenotypes(args):
    """Assign the cells of a plate to clusters and give them their place on the map."""
    from profiling.phenotypes.phenotype_jobs import phenotypes

    phenotypes(args.features, args.clusters, args.map, args.settings, args.seed, args.out, args.frozen)


@command(
    "wells", path("--features", "features of the plate"), path("--phenotypes", "phenotypes of the plate"),
    path("--fields", "fields of the plate"), path("--cell-flags", "flags of the plate's cells"),
    path("--platemap", "platemaps table of the plate"), path("--clusters", "cluster model"), settings("wells"), OUT,
)  # fmt: skip
def wells(args):
    """Make the well profiles of a plate: mean components, cluster shares, counts of cells and flagged cells."""
    from profiling.wells.profile_jobs import wells

    wells(
        args.features, args.phenotypes, args.fields, args.cell_flags, args.platemap, args.clusters, args.settings,
        args.out,
    )  # fmt: skip


@command("treatments", WELLS, OUT)
def treatments(args):
    """Make the profiles of treatments from those of their wells."""
    from profiling.wells.profile_jobs import treatments

    treatments(args.wells, args.out)


@command("enrichment", WELLS, settings("statistics"), SEED, OUT)
def enrichment(args):
    """Test the share of each cluster in each compound's wells against the negative controls."""
    from profiling.wells.statistic_jobs import enrich

    enrich(args.wells, args.settings, args.seed, args.out)


@command("activity", WELLS, settings("statistics"), SEED, OUT, path("--out-variance", "Jackson's variance ratio"))
def activity(args):
    """Test every treatment against the negative controls, and replicates against permuted treatments."""
    from profiling.wells.statistic_jobs import activities

    activities(args.wells, args.settings, args.seed, args.out, args.out_variance)


@command("failures", path("--results", "results folder"), option("--plates", nargs="+", required=True), OUT)
def failures(args):
    """Gather everything that was lost, with its reason and remedy."""
    from profiling.report.jobs import failures

    failures(args.results, args.plates, args.out)


@command(
    "report", path("--results", "results folder"), option("--plates", nargs="+", required=True),
    path("--config", "the configuration as JSON"), path("--logs", "folder of logs and benchmarks"),
    settings("report"), OUT,
)  # fmt: skip
def report(args):
    """Write the HTML report, one file that opens without a network."""
    from profiling.report.jobs import report

    report(args.results, args.plates, args.config, args.logs, args.settings, args.out)


@command(
    "provenance", RESULTS,
    option("--logs", help="folder of logs and benchmarks; left out: logs beside the results", type=Path),
    option("--out", help="file to write; left out: provenance.json in the results", type=Path),
    option("--no-hashes", help="do not read the files to hash them", action="store_true"),
)  # fmt: skip
def provenance(args):
    """Write how results were made: versions, commit, command, machine, durations, weights, a hash of every table."""
    from profiling.results.provenance import write_provenance
    from profiling.results.snakemake_files import working_directory

    logs = args.logs or working_directory(args.results) / "logs"
    write_provenance(args.results, logs, args.out, not args.no_hashes)
