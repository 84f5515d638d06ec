"""Listing a plate's images and reading its plate map."""

from profiling.config import find_plate
from profiling.kept_config import screen_config
from profiling.plates.image_table import index_plate
from profiling.plates.platemap import join_platemap, read_platemap
from profiling.progress import log
from profiling.settings import ROLES
from profiling.tables import as_table, read_table, write_table


def index(plate, folder, layout, channels, settings, read_header, out, out_unplaced, reader=None):
    """Write the image table of a plate and the list of files that could not be placed."""
    images, problems = index_plate(plate, folder, layout, channels, settings, read_header, reader)
    write_listing(images, problems, settings, out, out_unplaced)
    counts = images["Status"].value_counts()
    log.info("plate %s: %d wells, %s", plate, images["Metadata_Well"].nunique(),
             ", ".join(f"{count} images {status}" for status, count in counts.items()))  # fmt: skip
    for reason in problems["Reason"]:
        log.warning("%s", reason)


def write_listing(images, problems, settings, out, out_unplaced):
    """Write what :func:`profiling.plates.image_table.index_plate` found."""
    empty = {"Metadata_Well": None, "Metadata_Site": None, "Metadata_Time": None, "Metadata_Z": None}
    unplaced = problems.assign(**empty, Metadata_Channel=None, Stage="images", Cells=None)
    write_table(out_unplaced, "failures", unplaced)
    write_table(out, "images", images, settings=settings.changed())


def join(plate, batch, layout, images, path, settings, out, compounds=None):
    """Write the platemaps table of a plate; wells that stand on one side only are named in the log.

    `compounds` is the path of the table of compounds (`settings.compounds` below the root), if there is one.
    """
    imaged = read_table(images, "images", ["Metadata_Well"])["Metadata_Well"]
    platemap = read_platemap(path, plate, layout, settings, compounds) if path else None
    wells, problems = join_platemap(plate, batch, imaged, platemap, settings.keep)
    write_table(out, "platemaps", wells, settings=settings.changed())
    for problem in problems.itertuples():
        log.warning("plate %s, well %s: %s", plate, problem.Metadata_Well, problem.Reason)
    if platemap is not None:
        roles = wells["Metadata_Role"].value_counts()
        log.info("plate %s: %s", plate, roles.to_dict())
        for role in roles.index.difference(ROLES):
            log.warning("plate %s: the role %r is in no test; give it a known one in platemap.roles", plate, role)


def listed_images(results, plate, settings):
    """The table of what lies in a plate's folder: of its images, or of its planes where `images.z` makes images."""
    return results / (f"chunks/{plate}/planes.parquet" if settings.makes_images else f"images/{plate}.parquet")


def rescan(results, plates, read_header):
    """Write the image tables of plates anew whose folders changed since they were listed.

    The configuration is the one of the last start, which the workflow keeps beside its results. Tables are written in
    place: Snakemake does not make an intermediate file again that was removed, but sees one that is newer.
    """
    config = screen_config(results)
    for plate in [find_plate(config, name) for name in plates] or config.plates:
        name = plate.plate
        path = listed_images(results, name, config.images)
        if not path.exists():
            log.info("plate %s: not listed yet", name)
            continue
        folder = f"{config.root}/{plate.images}"
        listing = index_plate(name, folder, plate.layout, config.channels, config.images, read_header, plate.reader)
        new = as_table("images", listing[0]).to_pandas()
        old = read_table(path, "images")
        if new.equals(old):
            log.info("plate %s: unchanged", name)
            continue
        write_listing(*listing, config.images, path, results / f"chunks/{name}/unplaced.parquet")
        same = len(new.merge(old, how="inner"))
        log.info(
            "plate %s: %d images changed; start the workflow to bring its results up to date",
            name,
            len(new) - same,
        )
