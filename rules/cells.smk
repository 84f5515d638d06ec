rule segment:
    input:
        images="results/images/{plate}.parquet",
        flatfields=rules.illumination.output,
    output:
        cells="results/chunks/{plate}/{chunk}/segmented.parquet",
        fields="results/chunks/{plate}/{chunk}/fields.parquet",
        labels=directory("results/labels/{plate}/{chunk}"),
    params:
        folder=folder,
        flatfields=lambda wildcards: f"results/illumination/{wildcards.plate}",
        chunk=chunk_options,
        channels=CONFIG.channels,
        settings=lambda wildcards: settings("segmentation"),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=240,
        gpu=0,
    log:
        "logs/segment/{plate}/{chunk}.log",
    benchmark:
        "logs/segment/{plate}/{chunk}.tsv"
    shell:
        "profiling segment --images {input.images} --folder {params.folder:q} --flatfields {params.flatfields}"
        " {params.chunk} --channels {params.channels} --settings {params.settings:q} --threads {threads}"
        " --out-cells {output.cells} --out-fields {output.fields} --out-labels {output.labels} 2> {log}"
