import json
import os
import subprocess
import sys

import pytest

from profiling.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_reads_like_documentation(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert COMMANDS[name][0].__doc__.strip().splitlines()[0] in text
    assert all(names[0].strip("-") in text for names, _ in COMMANDS[name][1])


def test_an_error_for_people_has_no_traceback(tmp_path, capsys):
    cells = tmp_path / "cells.parquet"
    arguments = ["flag", "--quality", "q", "--fields", "f", "--cells", str(cells), "--nuclei-channel", "DNA"]
    assert main([*arguments, "--out", str(tmp_path / "flags"), "--out-cells", str(tmp_path / "cell_flags")]) == 1
    assert capsys.readouterr().err.endswith(f"profiling flag: {cells}: there is no such file\n")


def test_opencv_heeds_the_threads_of_the_job():
    code = "from profiling.cli import main; main(['--version']); import cv2; print(cv2.getNumThreads())"
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_FOR_THREADS_NUM"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    assert said.stdout.split()[-1] == b"1"


def test_counts_are_whole_numbers_from_1(capsys):
    for count in ("0", "-5", "2.5", "many"):
        with pytest.raises(SystemExit):
            main(["draw", "P", "A01", f"--side={count}"])
        assert f"--side: '{count}' is no whole number from 1" in capsys.readouterr().err


def test_an_interruption_has_no_traceback(tmp_path, capsys, monkeypatch):
    def interrupted(args):
        """Is interrupted."""
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "summary", (interrupted, COMMANDS["summary"][1]))
    assert main(["summary", "--results", str(tmp_path), "--logs", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "profiling summary: interrupted\n"


@pytest.mark.parametrize("plates", [1, 1000])
def test_a_reader_that_stops_is_no_error(tmp_path, plates):
    rows = [{"plate": f"P{n}", "layout": 96} for n in range(plates)]
    (tmp_path / "config.json").write_text(json.dumps({"plates": rows, "channels": ["DNA"], "chunks_per_plate": 1}))
    command = [sys.executable, "-m", "profiling.cli", "status", str(tmp_path), "--all"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_settings_that_do_not_fit_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["flag", "--quality", "q", "--out", "o", "--settings", '{"focus_mad": 3}'])
    assert "did you mean 'focus_mads'" in capsys.readouterr().err
