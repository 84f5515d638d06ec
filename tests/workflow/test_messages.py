"""What a person reads when the configuration is wrong, and what is kept of one that is right."""

import json

from starts import snakemake, write_config


def test_a_wrong_configuration_says_what_to_correct(tmp_path):
    write_config(
        tmp_path, {"plates": [{"plate": "P1", "images": "nowhere"}], "channels": ["DNA"], "clusters": {"kk": 3}}
    )
    done = snakemake(tmp_path, "--dry-run", check=False)
    assert done.returncode and "clusters.kk: unknown key; did you mean 'k'?" in done.stdout + done.stderr
    write_config(tmp_path, {"plates": [{"plate": "P1", "images": "nowhere"}], "channels": ["DNA"]})
    done = snakemake(tmp_path, "--dry-run", check=False)
    assert "plate P1: there is no image folder" in done.stdout + done.stderr


def test_a_configuration_longer_than_a_word_of_a_command_is_kept(tmp_path):
    plates = [{"plate": f"Plate-of-a-large-screen-{number:04d}", "images": "images"} for number in range(1000)]
    (tmp_path / "images").mkdir()
    write_config(tmp_path, {"plates": plates, "channels": ["DNA"]})
    snakemake(tmp_path, "results/config.json")
    kept = json.loads((tmp_path / "results" / "config.json").read_text())
    assert [plate["plate"] for plate in kept["plates"]] == [plate["plate"] for plate in plates]
