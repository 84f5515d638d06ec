"""Names for the channels, and which one is probably that of the nuclei."""

import re

from profiling.plates.proposals.folders import clean_name, unique_names

NUCLEI = (
    r"dapi|hoechst|h ?33342|\bdna\b|draq|nuclei|nucleus|nuclear|\bnuc\b",
    r"(^|\D)(350|355|360|365|375|385|390|405|447|450|460)(\D|$)|blue",
)
"""What names of nuclear stains, then of their light, have in them."""


def channel_names(instrument):
    """Names of channels that can stand in file and column names.

    Parameters
    ----------
    instrument : list of str
        As the reader names them.

    Returns
    -------
    dict of str
        The reader's name → ours, in the same order; the same name where it already fits.
    """
    names = unique_names([clean_name(name) or "channel" for name in instrument])
    return dict(zip(instrument, names, strict=True))


def nuclei_channel(names):
    """Channel that is probably that of the nuclei, by its name.

    Parameters
    ----------
    names : list of str

    Returns
    -------
    str or None
        None where no name tells.
    """
    for expression in NUCLEI:
        for name in names:
            if re.search(expression, name.replace("-", " "), re.IGNORECASE):
                return name
    return None
