"""A check in words: a table of plates, plates drawn in ASCII, and what was found with its remedies."""

from textwrap import wrap

from profiling.plates.checks import heatmap
from profiling.plates.checks.findings import LEVELS, counted, fold, listed

MOST_MAPS = 4
MOST_FINDINGS = 30  # of a level


def screen_text(checks, findings, config, maps="auto"):
    """The whole check.

    Parameters
    ----------
    checks, findings
        As from :func:`profiling.plates.checks.screen.check_screen`.
    config : profiling.config.Config
    maps : {"auto", "all"}
        Plates that are drawn: all, or where there are more than :data:`MOST_MAPS`, the first that have trouble.

    Returns
    -------
    str
    """
    blocks = [headline(checks, config), *plate_table(checks, findings), ""]
    drawn = checks if maps == "all" else _to_draw(checks, findings)
    excluded = {plate.plate: plate.exclude for plate in config.plates}
    has_roles = False
    for check in drawn:
        blocks += [*plate_map(check, excluded.get(check.plate, [])), ""]
        has_roles |= bool(check.wells["Mapped"].any())
    if drawn:
        blocks += [heatmap.IMAGES_KEY, *([heatmap.ROLES_KEY] if has_roles else []), ""]
    return "\n".join([*blocks, *finding_lines(findings, len(checks))])


def _to_draw(checks, findings):
    readable = [check for check in checks if check.facts]
    if len(checks) <= MOST_MAPS:
        return readable
    worst = {one.plate: LEVELS.index(one.level) for one in sorted(findings, key=lambda one: -LEVELS.index(one.level))}
    troubled = [check for check in readable if worst.get(check.plate, 2) < 2]
    return sorted(troubled, key=lambda check: worst[check.plate])[:MOST_MAPS]


def headline(checks, config):
    """Plates, wells, images and channels in a line."""
    facts = [check.facts for check in checks if check.facts]
    wells, images = (sum(one[key] for one in facts) for key in ("wells", "images"))
    opened = sum(one["opened"] for one in facts)
    return (
        f"{counted(len(checks), 'plate')}, {counted(wells, 'well')}, {counted(images, 'image')} of "
        f"{listed(config.channels, 8)}; {counted(opened, 'header')} read\n"
    )


def plate_table(checks, findings):
    """A line a plate."""
    rows = [("plate", "reader", "layout", "wells", "sites", "times", "planes", "images", "lost", "size", "type",
             "controls", "trouble")]  # fmt: skip
    rows += [_row(check, [one.level for one in findings if one.plate == check.plate]) for check in checks]
    rows = [list(row) for row in rows]
    dull = [i for i in (5, 6) if all(row[i] in ("1", "") for row in rows[1:])]
    rows = [[cell for i, cell in enumerate(row) if i not in dull] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = {0, 1, len(widths) - 1, len(widths) - 2}
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(check, levels):
    facts = check.facts
    trouble = ", ".join(counted(levels.count(level), level) for level in LEVELS[:2] if level in levels) or "none"
    if not facts:
        return (check.plate, "", str(check.layout), *[""] * 9, trouble)
    roles = facts["roles"]
    controls = " ".join(f"{roles[role]}{letter}" for role, letter in heatmap.ROLE_LETTERS.items() if role in roles)
    numbers = [facts[key] for key in ("wells", "sites", "times", "planes", "images", "lost")]
    return (
        check.plate, facts["reader"], str(check.layout), *(f"{number:,}" for number in numbers),
        _short(facts["sizes"]), _short(facts["dtypes"]), controls or "none", trouble,
    )  # fmt: skip


def _short(values):
    return "?" if not values else values[0] if len(values) == 1 else f"{len(values)} kinds"


def plate_map(check, exclude=()):
    """A plate drawn: its images and, where it has a plate map, its roles."""
    letters = heatmap.image_letters(check.images["Metadata_Well"], check.images["Status"].eq("ok"), exclude)
    drawing = heatmap.draw(letters, check.layout)
    wells = check.wells[check.wells["Mapped"]]
    if len(wells):
        roles = heatmap.role_letters(dict(zip(wells["Metadata_Well"], wells["Metadata_Role"], strict=True)))
        drawing = heatmap.beside(drawing, heatmap.draw(roles | dict.fromkeys(exclude, "x"), check.layout))
    return [f"plate {check.plate}: images{' and plate map' if len(wells) else ''}", *drawing]


def finding_lines(findings, plates):
    """What was found, errors first, the plates of one finding together, and a last line that counts."""
    lines = []
    folded = fold(findings)
    for level in LEVELS:
        of_level = [one for one in folded if one.level == level]
        for one in of_level[:MOST_FINDINGS]:
            lines += _finding(one, plates)
        if len(of_level) > MOST_FINDINGS:
            lines.append(f"{level:<8} and {counted(len(of_level) - MOST_FINDINGS, 'more ' + level)} (--json has all)")
    counts = [counted(sum(one.level == level for one in folded), level) for level in LEVELS]
    errors = any(one.level == "error" for one in folded)
    return [*lines, f"{', '.join(counts)}: {'correct the errors before you start' if errors else 'ready to start'}"]


def _finding(one, plates):
    if one.plates == [""]:
        who = ""
    elif len(one.plates) == plates > 1:
        who = f"all {plates} plates: "
    else:
        who = f"{listed(one.plates, 4)}: "
    where = f" ({'the first: ' if len(one.plates) > 1 else ''}{one.where})" if one.where else ""
    lines = wrap(
        f"{one.level:<8} {who}{one.what}{where}", heatmap.WIDTH, subsequent_indent=" " * 9, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    if one.remedy:
        lines += wrap(one.remedy, heatmap.WIDTH, initial_indent=" " * 9 + "-> ", subsequent_indent=" " * 12)
    return lines
