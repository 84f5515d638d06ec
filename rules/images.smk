rule images:
    output:
        table="results/images/{plate}.parquet",
        unplaced="results/chunks/{plate}/unplaced.parquet",
    params:
        folder=folder,
        layout=lambda wildcards: PLATES[wildcards.plate].layout,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("images"),
    resources:
        mem_mb=memory(1000),
        runtime=60,
        gpu=0,
    priority: 10
    log:
        "logs/images/{plate}.log",
    benchmark:
        "logs/images/{plate}.tsv"
    shell:
        "profiling images --plate {wildcards.plate} --folder {params.folder:q} --layout {params.layout}"
        " --channels {params.channels} --settings {params.settings:q}"
        " --out {output.table} --out-unplaced {output.unplaced} 2> {log}"


rule quality:
    input:
        images="results/images/{plate}.parquet",
    output:
        "results/chunks/{plate}/{chunk}/quality.parquet",
    params:
        folder=folder,
        chunk=chunk_options,
        settings=lambda wildcards: settings("quality"),
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=120,
        gpu=0,
    log:
        "logs/quality/{plate}/{chunk}.log",
    benchmark:
        "logs/quality/{plate}/{chunk}.tsv"
    shell:
        "profiling quality --images {input.images} --folder {params.folder:q} {params.chunk}"
        " --settings {params.settings:q} --threads {threads} --out {output} 2> {log}"


rule illumination:
    input:
        images="results/images/{plate}.parquet",
    output:
        expand("results/illumination/{{plate}}/{channel}.tif", channel=CONFIG.channels),
    params:
        folder=folder,
        out=lambda wildcards: f"results/illumination/{wildcards.plate}",
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("illumination"),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=120,
        gpu=0,
    log:
        "logs/illumination/{plate}.log",
    benchmark:
        "logs/illumination/{plate}.tsv"
    shell:
        "profiling illumination --images {input.images} --folder {params.folder:q} --channels {params.channels}"
        " --settings {params.settings:q} --threads {threads} --out {params.out} 2> {log}"


rule limits:
    input:
        images="results/images/{plate}.parquet",
        flatfields=rules.illumination.output,
    output:
        "results/limits/{plate}.parquet",
    params:
        folder=folder,
        flatfields=lambda wildcards: f"results/illumination/{wildcards.plate}",
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("limits"),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=120,
        gpu=0,
    log:
        "logs/limits/{plate}.log",
    benchmark:
        "logs/limits/{plate}.tsv"
    shell:
        "profiling limits --images {input.images} --folder {params.folder:q} --flatfields {params.flatfields}"
        " --channels {params.channels} --settings {params.settings:q} --threads {threads} --out {output} 2> {log}"


rule merge:
    input:
        chunk_pieces,
    output:
        "results/{table}/{plate}.parquet",
    wildcard_constraints:
        table="quality|fields|cells|embeddings|thumbnails",
    resources:
        mem_mb=memory(1000),
        runtime=60,
        gpu=0,
    log:
        "logs/merge/{plate}/{table}.log",
    benchmark:
        "logs/merge/{plate}/{table}.tsv"
    shell:
        "profiling merge {wildcards.table} {input} --out {output} 2> {log}"
