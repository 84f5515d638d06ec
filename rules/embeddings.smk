localrules:
    backbone,


rule backbone:
    output:
        "results/models/backbone.json",
    params:
        settings=lambda wildcards: settings("embedding"),
    resources:
        mem_mb=memory(2000),
        runtime=30,
        gpu=0,
    log:
        "logs/backbone.log",
    benchmark:
        "logs/backbone.tsv"
    shell:
        "profiling backbone --settings {params.settings:q} --out {output} 2> {log}"


rule embed:
    input:
        images="results/images/{plate}.parquet",
        flatfields=rules.illumination.output,
        limits="results/limits/{plate}.parquet",
        segmented="results/chunks/{plate}/{chunk}/segmented.parquet",
        labels="results/labels/{plate}/{chunk}",
        backbone="results/models/backbone.json",
    output:
        embeddings="results/chunks/{plate}/{chunk}/embeddings.parquet",
        cells="results/chunks/{plate}/{chunk}/cells.parquet",
        thumbnails="results/chunks/{plate}/{chunk}/thumbnails.parquet",
    params:
        folder=folder,
        flatfields=lambda wildcards: f"results/illumination/{wildcards.plate}",
        chunk=chunk_options,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("embedding"),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=480,
        gpu=0 if CONFIG.embedding.device == "cpu" else 1,
    log:
        "logs/embed/{plate}/{chunk}.log",
    benchmark:
        "logs/embed/{plate}/{chunk}.tsv"
    shell:
        "profiling embed --images {input.images} --folder {params.folder:q} --flatfields {params.flatfields}"
        " --limits {input.limits} --segmented {input.segmented} --labels {input.labels} --backbone {input.backbone}"
        " {params.chunk} --channels {params.channels} --settings {params.settings:q} --threads {threads}"
        " --out-embeddings {output.embeddings} --out-cells {output.cells} --out-thumbnails {output.thumbnails}"
        " 2> {log}"
