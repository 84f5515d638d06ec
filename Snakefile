from snakemake.utils import min_version

min_version("9.10")


if not config:

    configfile: "config/config.yaml"


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


onsuccess:
    shell("profiling summary --results results --logs logs --report results/report.html >&2")
