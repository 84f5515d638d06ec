"""What a person reads when the configuration is wrong."""

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
