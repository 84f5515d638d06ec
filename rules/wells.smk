rule wells:
    input:
        features="results/features/{plate}.parquet",
        phenotypes="results/phenotypes/{plate}.parquet",
        fields="results/fields/{plate}.parquet",
        cell_flags="results/cell_flags/{plate}.parquet",
        platemap="results/platemaps/{plate}.parquet",
        clusters="results/models/clusters.npz",
    output:
        "results/chunks/{plate}/wells.parquet",
    log:
        "logs/wells/{plate}.log",
    benchmark:
        "logs/wells/{plate}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: settings("wells"),
    shell:
        "profiling wells --features {input.features} --phenotypes {input.phenotypes} --fields {input.fields}"
        " --cell-flags {input.cell_flags} --platemap {input.platemap} --clusters {input.clusters}"
        " --settings {params.settings:q} --out {output} 2> {log}"


rule screen_wells:
    input:
        expand("results/chunks/{plate}/wells.parquet", plate=PLATES),
    output:
        "results/wells.parquet",
    log:
        "logs/screen_wells.log",
    benchmark:
        "logs/screen_wells.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
        gpu=0,
    shell:
        "profiling merge --table wells {output} {input} 2> {log}"


rule treatments:
    input:
        "results/wells.parquet",
    output:
        "results/treatments.parquet",
    log:
        "logs/treatments.log",
    benchmark:
        "logs/treatments.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
        gpu=0,
    shell:
        "profiling treatments --wells {input} --out {output} 2> {log}"


rule enrichment:
    input:
        "results/wells.parquet",
    output:
        "results/enrichment.parquet",
    log:
        "logs/enrichment.log",
    benchmark:
        "logs/enrichment.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
        gpu=0,
    params:
        seed=CONFIG.seed,
        settings=lambda wildcards: settings("statistics"),
    shell:
        "profiling enrichment --wells {input} --seed {params.seed} --settings {params.settings:q}"
        " --out {output} 2> {log}"


rule activity:
    input:
        "results/wells.parquet",
    output:
        activity="results/activity.parquet",
        variance="results/variance.parquet",
    log:
        "logs/activity.log",
    benchmark:
        "logs/activity.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
        gpu=0,
    params:
        seed=CONFIG.seed,
        settings=lambda wildcards: settings("statistics"),
    shell:
        "profiling activity --wells {input} --seed {params.seed} --settings {params.settings:q}"
        " --out {output.activity} --out-variance {output.variance} 2> {log}"
