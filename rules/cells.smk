# Overlays show masks; fields and tiles have none.
OVERLAYS = ["overlays"] if CONFIG.unit == "cell" else []


if CONFIG.unit == "cell":

    rule segment:
        input:
            images="results/images/{plate}.parquet",
            flatfields="results/illumination/{plate}",
            weights=weights_file("segmentation"),
        output:
            cells="results/chunks/{plate}/{chunk}/segmented.parquet",
            fields="results/chunks/{plate}/{chunk}/fields.parquet",
            labels=directory("results/labels/{plate}/{chunk}"),
        log:
            "logs/segment/{plate}/{chunk}.log",
        benchmark:
            "logs/segment/{plate}/{chunk}.tsv"
        threads: 4 if CONFIG.segmentation.device == "cuda" else 1
        resources:
            mem_mb=memory(2000),
            runtime=240,
            gpu=1 if CONFIG.segmentation.device == "cuda" else 0,
        params:
            folder=folder,
            chunk=chunk_options,
            channels=CONFIG.channels,
            settings=lambda wildcards: settings("segmentation"),
            weights=lambda wildcards: weights_hash("segmentation"),
        shell:
            "profiling segment --images {input.images} --folder {params.folder:q} --flatfields {input.flatfields}"
            " {params.chunk} --channels {params.channels} --settings {params.settings:q} --threads {threads}"
            " --out-cells {output.cells} --out-fields {output.fields} --out-labels {output.labels} 2> {log}"

else:

    rule units:
        input:
            images="results/images/{plate}.parquet",
        output:
            cells="results/chunks/{plate}/{chunk}/segmented.parquet",
            fields="results/chunks/{plate}/{chunk}/fields.parquet",
            labels=directory("results/labels/{plate}/{chunk}"),
        log:
            "logs/units/{plate}/{chunk}.log",
        benchmark:
            "logs/units/{plate}/{chunk}.tsv"
        resources:
            mem_mb=memory(1000),
            runtime=10,
            gpu=0,
        params:
            chunk=chunk_options,
            unit=CONFIG.unit,
            settings=lambda wildcards: settings("tiles") if CONFIG.unit == "tile" else "{}",
        shell:
            "profiling units --images {input.images} {params.chunk} --unit {params.unit}"
            " --settings {params.settings:q} --out-cells {output.cells} --out-fields {output.fields}"
            " --out-labels {output.labels} 2> {log}"


rule merge_fields:
    input:
        chunk_pieces("fields"),
    output:
        "results/fields/{plate}.parquet",
    log:
        "logs/merge_fields/{plate}.log",
    benchmark:
        "logs/merge_fields/{plate}.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=60,
        gpu=0,
    shell:
        "profiling merge --table fields {output} {input} 2> {log}"


rule overlays:
    input:
        images="results/images/{plate}.parquet",
        flatfields="results/illumination/{plate}",
        fields="results/fields/{plate}.parquet",
        labels=label_folders,
    output:
        "results/overlays/{plate}.parquet",
    log:
        "logs/overlays/{plate}.log",
    benchmark:
        "logs/overlays/{plate}.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=30,
        gpu=0,
    params:
        folder=folder,
        channels=[NUCLEI_CHANNEL, CELLS_CHANNEL] if CELLS_CHANNEL else [NUCLEI_CHANNEL],
        settings=lambda wildcards: settings("overlays"),
    shell:
        "profiling overlays --images {input.images} --folder {params.folder:q} --flatfields {input.flatfields}"
        " --fields {input.fields} --labels {input.labels} --channels {params.channels}"
        " --settings {params.settings:q} --out {output} 2> {log}"
