import os

from snakemake.utils import min_version, update_config

from profiling.config import read_yaml

min_version("9.10")


if "plates" not in config:
    # Read here as values alone: Snakemake would evaluate expressions in the file.
    values = read_yaml("config.yaml" if os.path.isfile("config.yaml") else "config/config.yaml")
    update_config(values, config)
    config.update(values)


include: "rules/common.smk"
include: "rules/images.smk"
include: "rules/cells.smk"
include: "rules/embeddings.smk"
include: "rules/phenotypes.smk"
include: "rules/wells.smk"
include: "rules/report.smk"


rule all:
    input:
        screen_tables(),
        "results/report.html",
        "results/provenance.json",


rule listed:
    # What is there: image tables and plate maps, before any pixel is read.
    input:
        plate_tables("images", "platemaps"),
        "results/config.json",


rule embedded:
    # All work on pixels, and nothing that knows a plate map.
    input:
        plate_tables(*OVERLAYS, "quality", "fields", "cells", "embeddings", "thumbnails"),
        "results/config.json",
        expand("results/chunks/{plate}/usable.txt", plate=PLATES),


onsuccess:
    shell("profiling summary --results results --logs logs --report results/report.html >&2")
