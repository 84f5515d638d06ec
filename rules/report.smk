def results_folder(wildcards, output):
    """Where the tables of all stages lie."""
    return os.path.dirname(output[0])


rule configuration:
    output:
        "results/config.json",
    log:
        "logs/configuration.log",
    priority: 100
    localrule: True
    params:
        config=lambda wildcards: CONFIG.model_dump_json(indent=2),
    script:
        "configuration.py"


rule failures:
    input:
        plate_tables("images", "quality", "fields", "cells", "platemaps"),
        expand("results/chunks/{plate}/{piece}.parquet", plate=PLATES, piece=["unplaced", "left_out"]),
    output:
        "results/failures.parquet",
    log:
        "logs/failures.log",
    benchmark:
        "logs/failures.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
        gpu=0,
    params:
        results=results_folder,
        plates=list(PLATES),
    shell:
        "profiling failures --results {params.results:q} --plates {params.plates} --out {output} 2> {log}"


rule report:
    input:
        screen_tables(),
        plate_tables(*OVERLAYS, "quality", "flags", "fields", "cells", "thumbnails", "phenotypes", "limits"),
        config="results/config.json",
        backbone="results/models/backbone.json",
    output:
        report("results/report.html", caption="../docs/report.rst", category="Report"),
    log:
        "logs/report.log",
    benchmark:
        "logs/report.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=30,
        gpu=0,
    params:
        results=results_folder,
        plates=list(PLATES),
        settings=lambda wildcards: settings("report"),
    shell:
        "profiling report --results {params.results:q} --plates {params.plates} --config {input.config}"
        " --logs $(dirname {log}) --settings {params.settings:q} --out {output} 2> {log}"


rule provenance:
    input:
        "results/report.html",
    output:
        update("results/provenance.json"),
    log:
        "logs/provenance.log",
    benchmark:
        "logs/provenance.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=480,
        gpu=0,
    params:
        results=results_folder,
    shell:
        "profiling provenance {params.results:q} --out {output} 2> {log}"
