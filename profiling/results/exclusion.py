"""What to write into the plate table for a screen to end although some jobs cannot."""

from profiling.plates.wells import chunk_wells, plate_wells


def exclusions(failed, rows, chunks):
    """Values of the column `exclude` with which a screen ends without what failed.

    Parameters
    ----------
    failed : pandas.DataFrame
        Plate and Chunk of jobs that failed; null where a job has none.
    rows : list of dict
        Rows of the plate table: plate, layout, exclude.
    chunks : dict of str to int
        Plate → its chunks.

    Returns
    -------
    dict of str
        Plate → the whole value: wells, those that are left out already among them, or ``all`` where a job of the plate
        as a whole failed or no well is left. Jobs of the whole screen have no such remedy.
    """
    values = {}
    of_plate = dict(tuple(failed[failed["Plate"].notna()].groupby("Plate")))
    for row in rows:
        if row["plate"] not in of_plate:
            continue
        numbers = of_plate[row["plate"]]["Chunk"]
        out = set(row.get("exclude") or ())
        for chunk in numbers.dropna():
            out |= set(chunk_wells(row["layout"], int(chunk), chunks[row["plate"]]))
        wells = plate_wells(row["layout"])
        whole = numbers.isna().any() or out.issuperset(wells)
        values[row["plate"]] = "all" if whole else " ".join(well for well in wells if well in out)
    return values
