"""The final summary: numbers of the synthetic screen, counted by hand."""

import pytest
from synthetic_screen import CELLS_PER_WELL, PLATES, write_logs

from profiling.report.summary import failures_by_stage, headline, print_summary, screen_plates, stage_times
from profiling.tables import read_table


def test_headline_numbers(screen):
    cells = 2 * 20 * CELLS_PER_WELL
    assert headline(screen / "results", PLATES) == {
        "plates": 2,
        "wells": 40,
        "fields": 40,
        "images": 80,
        "images_lost": 2,
        "cells_segmented": cells,
        "cells_embedded": cells,
        "cells_profiled": cells,
        "failures": 3,
    }


def test_minutes_are_summed_by_rule_in_the_order_of_the_workflow(tmp_path):
    write_logs(tmp_path)
    (tmp_path / "notes.tsv").write_text("some\tother\ttable\n1\t2\t3\n")
    table = stage_times(tmp_path)
    assert table["Stage"].tolist() == ["segment", "map"]
    assert table["Jobs"].tolist() == [2, 1]
    assert table["Minutes"].tolist() == pytest.approx([2.5, 0.5])
    assert table["Memory"][0] == 1200 and table["Memory"].isna()[1]


def test_failures_by_stage(screen):
    table = failures_by_stage(read_table(screen / "results" / "failures.parquet", "failures"))
    assert table.to_dict("list") == {
        "Stage": ["images", "segmentation", "features"],
        "Losses": [1, 1, 1],
        "Cells": [0, 0, 7],
    }


def test_plates_are_those_of_the_configuration(screen, tmp_path):
    assert screen_plates(screen / "results") == PLATES
    assert screen_plates(tmp_path) == []


def test_summary_says_what_was_lost_and_where_things_lie(screen, capsys):
    (screen / "report.html").touch()
    print_summary(screen / "results", screen / "logs", screen / "report.html")
    text = capsys.readouterr().out
    for words in (
        "480  cells in",
        "480  cells out",
        "1  features, 7 cells",
        "2.50",
        "1,200",
        str(screen / "results"),
    ):
        assert words in text
    assert f"Report: {(screen / 'report.html').resolve()}" in text


def test_summary_of_nothing(tmp_path, capsys):
    print_summary(tmp_path / "results", tmp_path / "logs", tmp_path / "report.html")
    text = capsys.readouterr().out
    assert "0  cells in" in text and "Report" not in text
