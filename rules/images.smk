rule images:
    output:
        table="results/chunks/{plate}/planes.parquet" if STACKS else "results/images/{plate}.parquet",
        unplaced="results/chunks/{plate}/unplaced.parquet",
    log:
        "logs/images/{plate}.log",
    benchmark:
        "logs/images/{plate}.tsv"
    priority: 10
    resources:
        mem_mb=memory(1000),
        runtime=60,
        gpu=0,
    params:
        folder=source_folder,
        layout=lambda wildcards: PLATES[wildcards.plate].layout,
        reader=reader_option,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("images"),
    shell:
        "profiling images --plate {wildcards.plate} --folder {params.folder:q} --layout {params.layout}"
        " {params.reader} --channels {params.channels} --settings {params.settings:q}"
        " --out {output.table} --out-unplaced {output.unplaced} 2> {log}"


if STACKS:

    rule make_images:
        input:
            planes="results/chunks/{plate}/planes.parquet",
        output:
            table="results/chunks/{plate}/{chunk}/images.parquet",
            folder=directory("results/chunks/{plate}/{chunk}/images"),
        log:
            "logs/make_images/{plate}/{chunk}.log",
        benchmark:
            "logs/make_images/{plate}/{chunk}.tsv"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=120,
            gpu=0,
        params:
            folder=source_folder,
            chunk=chunk_options,
            settings=lambda wildcards: settings("images"),
            focus_channel=FOCUS_CHANNEL,
        shell:
            "profiling make-images --planes {input.planes} --folder {params.folder:q} {params.chunk}"
            " --settings {params.settings:q} --focus-channel {params.focus_channel} --threads {threads}"
            " --out {output.table} --out-folder {output.folder} 2> {log}"

    rule merge_images:
        input:
            chunk_pieces("images"),
        output:
            "results/images/{plate}.parquet",
        log:
            "logs/merge_images/{plate}.log",
        benchmark:
            "logs/merge_images/{plate}.tsv"
        resources:
            mem_mb=memory(1000),
            runtime=60,
            gpu=0,
        shell:
            "profiling merge --table images {output} {input} 2> {log}"


rule quality:
    input:
        images="results/images/{plate}.parquet",
    output:
        "results/chunks/{plate}/{chunk}/quality.parquet",
    log:
        "logs/quality/{plate}/{chunk}.log",
    benchmark:
        "logs/quality/{plate}/{chunk}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=120,
        gpu=0,
    params:
        folder=folder,
        chunk=chunk_options,
        settings=lambda wildcards: settings("quality"),
    shell:
        "profiling quality --images {input.images} --folder {params.folder:q} {params.chunk}"
        " --settings {params.settings:q} --threads {threads} --out {output} 2> {log}"


rule illumination:
    input:
        images="results/images/{plate}.parquet",
    output:
        directory("results/illumination/{plate}"),
    log:
        "logs/illumination/{plate}.log",
    benchmark:
        "logs/illumination/{plate}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=120,
        gpu=0,
    params:
        folder=folder,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("illumination"),
    shell:
        "profiling illumination --images {input.images} --folder {params.folder:q} --channels {params.channels}"
        " --settings {params.settings:q} --threads {threads} --out {output} 2> {log}"


rule limits:
    input:
        images="results/images/{plate}.parquet",
        flatfields="results/illumination/{plate}",
    output:
        "results/limits/{plate}.parquet",
    log:
        "logs/limits/{plate}.log",
    benchmark:
        "logs/limits/{plate}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=120,
        gpu=0,
    params:
        folder=folder,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("limits"),
    shell:
        "profiling limits --images {input.images} --folder {params.folder:q} --flatfields {input.flatfields}"
        " --channels {params.channels} --settings {params.settings:q} --threads {threads} --out {output} 2> {log}"


rule merge_quality:
    input:
        chunk_pieces("quality"),
    output:
        "results/quality/{plate}.parquet",
    log:
        "logs/merge_quality/{plate}.log",
    benchmark:
        "logs/merge_quality/{plate}.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=60,
        gpu=0,
    shell:
        "profiling merge --table quality {output} {input} 2> {log}"


# Not an input of the work on pixels: as `ancient` it hid edits of what follows (Snakemake 9.27), else its own edits
# would repeat all of it.
rule usable:
    input:
        "results/quality/{plate}.parquet",
    output:
        "results/chunks/{plate}/usable.txt",
    log:
        "logs/usable/{plate}.log",
    benchmark:
        "logs/usable/{plate}.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
        gpu=0,
    params:
        max_failed=CONFIG.max_failed_images,
    shell:
        "profiling usable --quality {input} --max-failed {params.max_failed} --out {output} 2> {log}"
