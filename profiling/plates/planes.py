"""What becomes of stacks and time series: which planes of a field the screen uses."""

import pandas as pd

from profiling.errors import ProfilingError

FIELD = ["Metadata_Well", "Metadata_Site", "Metadata_Time"]
IMAGE = [*FIELD, "Metadata_Channel"]


def select_planes(images, z=None, time="all"):
    """Select planes and time points from the images that a reader found.

    A channel that has but one image of most fields, a plane or a projection, keeps it whatever `z` says: instruments
    are often told to take a stack in one channel and a single plane in another.

    Parameters
    ----------
    images : pandas.DataFrame
        With the columns of :data:`profiling.plates.readers.COLUMNS`.
    z, time
        As `images.z` and `images.time` say.

    Returns
    -------
    pandas.DataFrame
        Without `Projection`. `Metadata_Z` is the plane; 0 where ``z`` is ``projection``. Where it is ``maximum``
        or ``focus``, all planes of each stack, and only they.

    Raises
    ------
    ProfilingError
        If there are stacks and `z` is None, or nothing is left.
    """
    if time != "all":
        at_time = images[images["Metadata_Time"].eq(time)]
        if at_time.empty:
            raise ProfilingError(f"there is no time point {time} (images.time) but {_said(images['Metadata_Time'])}")
        images = at_time
    if not images["Projection"].any() and images["Metadata_Z"].min() == images["Metadata_Z"].max():
        return _without_stacks(images, z)
    in_stack = _in_stack(images)
    single, stacks = _one_each(images[~in_stack]), images[in_stack]
    if stacks.empty:
        return _without_stacks(single, z)
    if z is None:
        raise ProfilingError(
            f"fields have stacks of planes ({_said(stacks.loc[~stacks['Projection'], 'Metadata_Z'])}); say in images.z "
            "what becomes of them: a number, `focus`, `maximum`, `projection` or `all`"
        )
    if z == "projection":
        chosen = stacks[stacks["Projection"]].assign(Metadata_Z=0)
        single = single.assign(Metadata_Z=0)
        if chosen.empty:
            raise ProfilingError("there are no projections of the instrument (images.z); let `maximum` make them")
    else:
        chosen = stacks[~stacks["Projection"]]
    if isinstance(z, int):
        chosen = chosen[chosen["Metadata_Z"].eq(z)]
        single = single.assign(Metadata_Z=z)
        if chosen.empty:
            raise ProfilingError(f"there is no plane {z} (images.z) but {_said(stacks['Metadata_Z'])}")
    if z == "all":
        of_field = chosen[[*FIELD, "Metadata_Z"]].drop_duplicates()
        spread = single.drop(columns="Metadata_Z").merge(of_field, how="inner", on=FIELD)
        alone = single.merge(of_field[FIELD].drop_duplicates(), how="left", on=FIELD, indicator=True)
        single = pd.concat([spread, alone[alone.pop("_merge").eq("left_only")]])
    return pd.concat([chosen, single], ignore_index=True).drop(columns="Projection")


def _in_stack(images):
    """Which images are of a stack: of several planes, or what is left of one in a channel that mostly has stacks."""
    planes = images["Metadata_Z"].where(~images["Projection"]).groupby([images[key] for key in IMAGE]).nunique()
    usual = planes.groupby("Metadata_Channel").transform("median")
    stacked = planes.gt(1) | usual.gt(1)
    return images[IMAGE].merge(stacked.rename("stacked").reset_index(), how="left", on=IMAGE)["stacked"].to_numpy()


def _without_stacks(images, z):
    """Images of fields with a single plane; its number, where it has one, must be that of the settings."""
    if isinstance(z, int):
        numbers = images["Metadata_Z"]
        if numbers.any() and not numbers.eq(z).any():
            raise ProfilingError(f"there is no plane {z} (images.z) but {_said(numbers)}")
        images = images.assign(Metadata_Z=z)
    return images.drop(columns="Projection")


def _one_each(images):
    """A single plane stands before a projection of it."""
    is_plane = ~images["Projection"]
    return images[is_plane | ~is_plane.groupby([images[key] for key in IMAGE]).transform("any")]


def _said(numbers):
    values = sorted(numbers.unique().tolist())
    return ", ".join(map(str, values)) if len(values) <= 6 else f"{values[0]} to {values[-1]}, {len(values)} of them"
