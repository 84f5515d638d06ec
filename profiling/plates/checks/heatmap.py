"""Plates drawn in plain ASCII, a character a well."""

from profiling.plates.wells import LAYOUTS, row_letters, well_name

SPACED = 96  # wells of the largest layout whose characters stand apart
WIDTH = 100

ROLE_LETTERS = {"negative_control": "C", "positive_control": "P", "treatment": "t", "empty": "e"}
IMAGES_KEY = "images: # all expected, 1-9 tenths of them, . none, x excluded"
ROLES_KEY = "plate map: C negative control, P positive control, t treatment, e empty, o other role, . not in the map"


def share_letter(share):
    """Character of a well with this share of its expected images: ``.``, ``1`` … ``9`` or ``#``."""
    if share <= 0:
        return "."
    return "#" if share >= 1 else str(min(9, max(1, int(share * 10))))


def image_letters(wells, usable, exclude=()):
    """Characters of the images of each well.

    Parameters
    ----------
    wells : pandas.Series of str
        Well of each expected image.
    usable : pandas.Series of bool
        Whether it is there and nothing is known to be wrong with it.
    exclude : iterable of str
        Wells that are left out.

    Returns
    -------
    dict of str
        Well → character, of the wells that have images or are left out.
    """
    letters = {well: share_letter(share) for well, share in usable.groupby(wells).mean().items()}
    return letters | dict.fromkeys(exclude, "x")


def role_letters(roles):
    """Characters of the roles: well → role (or null) becomes well → character."""
    return {well: ROLE_LETTERS.get(role, "o" if isinstance(role, str) else ".") for well, role in roles.items()}


def draw(letters, layout):
    """Draw a plate.

    Parameters
    ----------
    letters : dict of str
        Well (``A01``) → one character; a well that is not there is ``.``.
    layout : int
        Wells of the plate.

    Returns
    -------
    list of str
        Lines of the same length: the numbers of the columns, tens above ones, then one a row of the plate.
    """
    rows, columns = LAYOUTS[layout]
    gap = " " if layout <= SPACED else ""
    numbers = range(1, columns + 1)
    tens = gap.join(str(number // 10) if number >= 10 else " " for number in numbers)
    lines = ["   " + tens] if columns >= 10 else []
    lines += ["   " + gap.join(str(number % 10) for number in numbers)]
    for row in range(1, rows + 1):
        wells = gap.join(letters.get(well_name(row, column), ".") for column in numbers)
        lines.append(f"{row_letters(row):>2} {wells}")
    return lines


def beside(left, right, gap=4):
    """Two drawings side by side, or one below the other where they do not fit :data:`WIDTH` columns."""
    if len(left[0]) + gap + len(right[0]) > WIDTH:
        return [*left, "", *right]
    return [one + " " * gap + other for one, other in zip(left, right, strict=True)]
