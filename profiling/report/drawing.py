"""Palettes, the style of all figures, and figures and pictures as data URIs."""

import base64
import io
import re

from matplotlib import rc_context
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from profiling.terminal import visible

MUTED = ("#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499")
"""Paul Tol's muted scheme (SRON/EPS/TN/09-002), distinct for colour-blind readers."""

CONTROL, OTHER, INK, ACCENT, QUIET = "#b9bec5", "#6b7280", "#1f2933", "#c2410c", "#d5dae0"

STYLE = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.usetex": False,  # a matplotlibrc in the working directory could have LaTeX run on names
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
}

SAVING = {"svg.hashsalt": "profiling", "svg.fonttype": "none", "image.composite_image": False}


def cluster_colour(cluster):
    """Colour of a cluster: nine hues, then the same lighter, then darker, and so on again."""
    turn, hue = divmod(int(cluster) - 1, len(MUTED))
    target, amount = [(0.0, 0.0), (1.0, 0.5), (0.0, 0.4)][turn % 3]
    return to_hex([c + (target - c) * amount for c in to_rgb(MUTED[hue])])


def is_dark(colour):
    """Whether white writing reads better on the colour than black (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.3


def new_figure(width, height):
    """An empty figure, inches, whose parts are laid out without overlap."""
    return Figure(figsize=(width, height), layout="constrained")


def svg_uri(figure, dpi=160):
    """A figure as the data URI of an SVG; the same figure gives the same bytes."""
    buffer = io.StringIO()
    with rc_context(SAVING):
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", dpi=dpi, metadata=metadata, facecolor="none")
    # Laid out in the wide DejaVu Sans, written in the reader's own font: texts can shrink but not collide.
    fonts = r"\1Helvetica, Arial, 'DejaVu Sans', sans-serif"
    text = re.sub(r"(<[^<>]*)'DejaVu Sans'[^;\"]*", fonts, buffer.getvalue())
    return data_uri(text.encode(), "image/svg+xml")


def data_uri(data, kind):
    """Bytes as a data URI of the media type given."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def plain(text):
    """A text that matplotlib writes as it is: a dollar sign would start a formula; SVG has no control characters."""
    return visible(str(text)).replace("$", r"\$")
