"""The report as a person gets it: one file, nothing fetched, nothing executed, nothing left out."""

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import synthetic_screen
from synthetic_screen import CHANNELS, HOSTILE, PLATES, K, write_config, write_screen

from profiling.config import Config
from profiling.report.jobs import report
from profiling.report.plates import well_scores
from profiling.report.screen import read_screen
from profiling.report.segmentation import read_overlays
from profiling.settings import Report


class Page(HTMLParser):
    """Collects tags, their attributes and the text outside style sheets."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.inside = [], "", None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside != "style":
            self.text += data


def make(folder, plates=PLATES, logs="logs", **settings):
    out = folder / "report.html"
    report(folder / "results", plates, folder / "results" / "config.json", folder / logs, Report(**settings), out)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(screen):
    return make(screen, cells_per_cluster=5)


def test_nothing_is_loaded_from_elsewhere(html):
    tags = Page(html).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base"}
    sources = [attributes["src"] for _, attributes in tags if "src" in attributes]
    assert len(sources) > 10 and all(source.startswith("data:image/") for source in sources)
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"@import|url\((?!#)", html)


def test_every_link_of_the_contents_leads_somewhere(html):
    tags = Page(html).tags
    places = {attributes.get("id") for _, attributes in tags}
    assert {attributes["href"][1:] for tag, attributes in tags if tag == "a"} <= places


def test_names_from_tables_are_text(html):
    assert HOSTILE not in html
    assert HOSTILE in Page(html).text
    assert "<b>here</b>" not in html


def test_whatever_a_compound_is_called_it_is_text(tmp_path, monkeypatch):
    names = [
        HOSTILE,
        "=cmd()",
        r"$\frac{",
        r"a\$b$ {braces} {{ 7 * 191 }} {% if %}",
        '" onload="x',
        "'DejaVu Sans'",
        "\x1b[31mred\nnext\ufffe",
    ]
    monkeypatch.setattr(synthetic_screen, "COMPOUNDS", ["DMSO", *names])
    write_screen(tmp_path / "results")
    write_config(tmp_path / "results")
    html = make(tmp_path, title="<script>{{ 7 * 191 }}")
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object"} and "1337" not in html
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all(name.split("\n")[0] in page.text for name in names)
    pictures = [one["src"].partition("svg+xml;base64,")[2] for tag, one in page.tags if tag == "img"]
    written = ""
    for picture in filter(None, pictures):
        elements = list(ElementTree.fromstring(base64.b64decode(picture)).iter())
        assert not any(element.tag.endswith("script") for element in elements)
        written += " ".join(element.text or "" for element in elements)
    assert all(name in written for name in [*names[:-1], r"\x1b[31mred\nnext\ufffe"])


def test_failures_stand_in_the_report(html):
    text = Page(html).text
    for words in ("no file <b>here</b>", "restore the image", "touches border", "B02"):
        assert words in text


def test_numbers_of_the_tables_stand_in_the_report(html, screen):
    text = Page(html).text
    sizes = read_screen(screen / "results", PLATES, 1)["sizes"].groupby("Cluster")["Cells"].sum()
    for cells in sizes:
        assert f"{cells} cells" in text
    assert "1 of 3 treatments are active" in text
    assert "ab" * 32 in text
    assert all(channel in text for channel in CHANNELS)


def test_gallery_holds_the_nearest_cells_that_have_a_thumbnail(screen):
    gallery = read_screen(screen / "results", PLATES, 5)["gallery"]
    cells = pd.concat([pd.read_parquet(screen / "results" / "phenotypes" / f"{p}.parquet") for p in PLATES])
    pictures = pd.concat([pd.read_parquet(screen / "results" / "thumbnails" / f"{p}.parquet") for p in PLATES])
    both = cells.merge(pictures)
    for cluster in range(1, K + 1):
        shown = gallery.loc[gallery["Cluster"] == cluster, "ClusterDistance"]
        expected = np.sort(both.loc[both["Cluster"] == cluster, "ClusterDistance"])[:5]
        assert np.array_equal(shown, expected)
    assert gallery["Thumbnail"].notna().all()


def test_overlays_show_the_lowest_scores_first_and_what_is_missing(html):
    text = Page(html).text
    section = text[text.index("Overlays") : text.index("Image quality", text.index("Overlays"))]
    places = ["D05 site 1", "D04 site 1", "A01 site 1", "B01 site 1"]
    found = [section.index(place) for place in places]
    assert found == sorted(found)
    assert f"no picture: no {HOSTILE}" in section
    assert section.count("score 0.10 · lowest score · flagged") == section.count("flagged") == len(PLATES)
    assert section.count("D05 site 1") == len(PLATES)


def test_the_report_of_many_plates_shows_the_overlays_of_the_worst(screen, monkeypatch):
    results = screen / "results"
    fields = pd.concat([pd.read_parquet(results / "fields" / f"{plate}.parquet") for plate in PLATES])
    fields.loc[fields["Metadata_Plate"] == PLATES[0], "SegmentationScore"] += 0.05
    assert set(read_overlays(results, fields)["Metadata_Plate"]) == set(PLATES)
    monkeypatch.setattr("profiling.report.segmentation.MOST_BYTES", 1)
    assert set(read_overlays(results, fields)["Metadata_Plate"]) == {PLATES[1]}
    assert "1 plate with a higher mean score is not shown" in Page(make(screen)).text


def test_the_score_of_a_well_is_the_mean_over_its_fields(screen):
    fields = pd.read_parquet(screen / "results" / "fields" / "P-2.parquet")
    twice = pd.concat([fields, fields.assign(Metadata_Site=2, SegmentationScore=0.0)])
    scores = well_scores(twice).set_index("Metadata_Well")["Score"]
    assert scores["A01"] == pytest.approx(0.45) and len(scores) == fields["Metadata_Well"].nunique()


def test_same_tables_same_bytes(html, screen):
    assert make(screen, cells_per_cluster=5) == html


@pytest.mark.parametrize(
    ("plates", "options"),
    [
        (PLATES, {"cells_per_well": False}),
        (PLATES, {"mapped": False}),
        (PLATES[:1], {}),
        (PLATES, None),
    ],
    ids=["no cells", "no plate map", "one plate", "no table at all"],
)
def test_report_of_a_poor_screen(tmp_path, plates, options):
    if options is not None:
        write_screen(tmp_path / "results", plates, **options)
    write_config(tmp_path / "results", plates)
    text = Page(make(tmp_path, plates, cells_per_cluster=2)).text
    assert "Do replicates agree?" in text
    assert not re.search(r"\b(nan|NaN|None|NaT)\b", re.sub(r"(?s)plates:\n.*", "", text))


def test_channel_colours_in_words_are_those_of_the_thumbnails():
    crops = pytest.importorskip("profiling.embeddings.crops")
    from profiling.report.page import CHANNEL_COLOURS

    pure = {"blue": "001", "green": "010", "red": "100", "yellow": "110", "magenta": "101", "cyan": "011"}
    assert ["".join(map(str, row)) for row in (crops.COLOURS > 0.5).astype(int)] == [pure[c] for c in CHANNEL_COLOURS]


def test_config_of_the_fixture_is_what_the_workflow_writes(screen):
    text = (screen / "results" / "config.json").read_text()
    assert Config.model_validate_json(text).clusters.k == K
