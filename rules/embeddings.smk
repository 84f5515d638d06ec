localrules:
    backbone,


rule backbone:
    input:
        weights_file("embedding"),
    output:
        record="results/models/backbone.json",
        network=multiext("results/models/backbone", ".xml", ".bin"),
    log:
        "logs/backbone.log",
    benchmark:
        "logs/backbone.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=30,
        gpu=0,
    params:
        settings=lambda wildcards: settings("embedding"),
    shell:
        "profiling backbone --settings {params.settings:q} --out {output.record} 2> {log}"


rule embed:
    input:
        images="results/images/{plate}.parquet",
        flatfields=rules.illumination.output,
        limits="results/limits/{plate}.parquet",
        segmented="results/chunks/{plate}/{chunk}/segmented.parquet",
        labels="results/labels/{plate}/{chunk}",
        backbone="results/models/backbone.json",
        network=rules.backbone.output.network,
    output:
        embeddings="results/chunks/{plate}/{chunk}/embeddings.parquet",
        cells="results/chunks/{plate}/{chunk}/cells.parquet",
        thumbnails="results/chunks/{plate}/{chunk}/thumbnails.parquet",
    log:
        "logs/embed/{plate}/{chunk}.log",
    benchmark:
        "logs/embed/{plate}/{chunk}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=480,
        gpu=0 if CONFIG.embedding.device == "cpu" else 1,
    params:
        folder=folder,
        flatfields=lambda wildcards: f"results/illumination/{wildcards.plate}",
        chunk=chunk_options,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("embedding"),
    shell:
        "profiling embed --images {input.images} --folder {params.folder:q} --flatfields {params.flatfields}"
        " --limits {input.limits} --segmented {input.segmented} --labels {input.labels} --backbone {input.backbone}"
        " {params.chunk} --channels {params.channels} --settings {params.settings:q} --threads {threads}"
        " --out-embeddings {output.embeddings} --out-cells {output.cells} --out-thumbnails {output.thumbnails}"
        " 2> {log}"


rule merge_cells:
    input:
        cells=chunk_pieces("cells"),
        embeddings=chunk_pieces("embeddings"),
        thumbnails=chunk_pieces("thumbnails"),
    output:
        cells="results/cells/{plate}.parquet",
        embeddings="results/embeddings/{plate}.parquet",
        thumbnails="results/thumbnails/{plate}.parquet",
    log:
        "logs/merge_cells/{plate}.log",
    benchmark:
        "logs/merge_cells/{plate}.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=60,
        gpu=0,
    shell:
        "profiling merge --table cells {output.cells} {input.cells}"
        " --table embeddings {output.embeddings} {input.embeddings}"
        " --table thumbnails {output.thumbnails} {input.thumbnails} 2> {log}"
