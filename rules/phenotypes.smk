rule platemap:
    input:
        images="results/images/{plate}.parquet",
        platemap=platemap_file,
        compounds=compounds_file(),
    output:
        "results/platemaps/{plate}.parquet",
    log:
        "logs/platemap/{plate}.log",
    benchmark:
        "logs/platemap/{plate}.tsv"
    priority: 10
    resources:
        mem_mb=memory(1000),
        runtime=10,
        gpu=0,
    params:
        layout=lambda wildcards: PLATES[wildcards.plate].layout,
        batch=lambda wildcards: PLATES[wildcards.plate].batch or wildcards.plate,
        map=platemap_option,
        compounds=compounds_option(),
        hashes=lambda wildcards: [hash_file(path) for path in [*platemap_file(wildcards), *compounds_file()]],
        settings=lambda wildcards: settings("platemap"),
    shell:
        "profiling platemap --plate {wildcards.plate} --batch={params.batch:q} --layout {params.layout}"
        " --images {input.images} {params.map} {params.compounds} --settings {params.settings:q} --out {output} 2> {log}"


rule flags:
    input:
        quality="results/quality/{plate}.parquet",
        usable="results/chunks/{plate}/usable.txt",
        fields="results/fields/{plate}.parquet",
        cells="results/cells/{plate}.parquet",
    output:
        images="results/flags/{plate}.parquet",
        cells="results/cell_flags/{plate}.parquet",
    log:
        "logs/flags/{plate}.log",
    benchmark:
        "logs/flags/{plate}.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
        gpu=0,
    params:
        nuclei_channel=NUCLEI_CHANNEL,
        settings=lambda wildcards: settings("flags"),
    shell:
        "profiling flag --quality {input.quality} --fields {input.fields} --cells {input.cells}"
        " --nuclei-channel {params.nuclei_channel} --settings {params.settings:q}"
        " --out {output.images} --out-cells {output.cells} 2> {log}"


rule scale:
    input:
        embeddings="results/embeddings/{plate}.parquet",
        cells="results/cells/{plate}.parquet",
        flags="results/flags/{plate}.parquet",
        cell_flags="results/cell_flags/{plate}.parquet",
        platemap="results/platemaps/{plate}.parquet",
    output:
        "results/models/scalers/{plate}.npz",
    log:
        "logs/scale/{plate}.log",
    benchmark:
        "logs/scale/{plate}.tsv"
    resources:
        mem_mb=memory(4000),
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: settings("normalisation"),
    shell:
        "profiling scale --embeddings {input.embeddings} --cells {input.cells} --flags {input.flags}"
        " --cell-flags {input.cell_flags} --platemap {input.platemap} --settings {params.settings:q}"
        " --out {output} 2> {log}"


if CONFIG.models:

    rule frozen_models:
        input:
            [local(os.path.join(CONFIG.models, name)) for name in MODELS],
            backbone="results/models/backbone.json",
        output:
            [f"results/{name}" for name in MODELS],
        log:
            "logs/frozen_models.log",
        benchmark:
            "logs/frozen_models.tsv"
        priority: 50
        resources:
            mem_mb=memory(2000),
            runtime=10,
            gpu=0,
        params:
            models=CONFIG.models,
            hashes=lambda wildcards: [hash_file(os.path.join(CONFIG.models, name)) for name in MODELS],
            results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
            channels=CONFIG.channels,
            unit=CONFIG.unit,
            tiles=lambda wildcards: settings("tiles") if CONFIG.unit == "tile" else "{}",
            embedding=embedding_settings(NOT_OF_MODELS),
            normalisation=lambda wildcards: settings("normalisation"),
        shell:
            "profiling frozen-models --from={params.models:q} --backbone {input.backbone} --channels {params.channels}"
            " --unit {params.unit} --tiles {params.tiles:q} --embedding {params.embedding:q}"
            " --normalisation {params.normalisation:q} --out {params.results:q} 2> {log}"

else:

    rule reduce:
        input:
            expand("results/models/scalers/{plate}.npz", plate=PLATES),
        output:
            "results/models/reduction.npz",
        log:
            "logs/reduce.log",
        benchmark:
            "logs/reduce.tsv"
        resources:
            mem_mb=memory(2000),
            runtime=60,
            gpu=0,
        params:
            settings=lambda wildcards: settings("reduction"),
        shell:
            "profiling reduce {input} --settings {params.settings:q} --out {output} 2> {log}"

    rule clusters:
        input:
            plate_tables("features"),
        output:
            model="results/models/clusters.npz",
            table="results/clusters.parquet",
        log:
            "logs/clusters.log",
        benchmark:
            "logs/clusters.tsv"
        resources:
            mem_mb=memory(4000),
            runtime=120,
            gpu=0,
        params:
            seed=CONFIG.seed,
            settings=lambda wildcards: settings("clusters"),
        shell:
            "profiling cluster {input} --seed {params.seed} --settings {params.settings:q}"
            " --out {output.model} --out-sweep {output.table} 2> {log}"

    rule map:
        input:
            plate_tables("features"),
        output:
            "results/models/map.npz",
        log:
            "logs/map.log",
        benchmark:
            "logs/map.tsv"
        threads: CONFIG.map.threads
        resources:
            mem_mb=memory(4000),
            runtime=240,
            gpu=0,
        params:
            seed=CONFIG.seed,
            settings=lambda wildcards: settings("map"),
        shell:
            "profiling map {input} --seed {params.seed} --settings {params.settings:q} --out {output} 2> {log}"


rule features:
    input:
        embeddings="results/embeddings/{plate}.parquet",
        cells="results/cells/{plate}.parquet",
        flags="results/flags/{plate}.parquet",
        cell_flags="results/cell_flags/{plate}.parquet",
        platemap="results/platemaps/{plate}.parquet",
        scaler="results/models/scalers/{plate}.npz",
        reduction="results/models/reduction.npz",
    output:
        table="results/features/{plate}.parquet",
        left_out="results/chunks/{plate}/left_out.parquet",
    log:
        "logs/features/{plate}.log",
    benchmark:
        "logs/features/{plate}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
        gpu=0,
    shell:
        "profiling features --embeddings {input.embeddings} --cells {input.cells} --flags {input.flags}"
        " --cell-flags {input.cell_flags} --platemap {input.platemap} --scaler {input.scaler}"
        " --reduction {input.reduction} --out {output.table} --out-left {output.left_out} 2> {log}"


rule phenotypes:
    input:
        features="results/features/{plate}.parquet",
        clusters="results/models/clusters.npz",
        map="results/models/map.npz",
    output:
        "results/phenotypes/{plate}.parquet",
    log:
        "logs/phenotypes/{plate}.log",
    benchmark:
        "logs/phenotypes/{plate}.tsv"
    threads: CONFIG.map.threads if CONFIG.map.place_all or CONFIG.models else 1
    resources:
        mem_mb=memory(2000),
        runtime=120,
        gpu=0,
    params:
        seed=CONFIG.seed,
        frozen="--frozen" if CONFIG.models else "",
        settings=lambda wildcards: settings("map"),
    shell:
        "profiling phenotypes --features {input.features} --clusters {input.clusters} --map {input.map}"
        " --seed {params.seed} --settings {params.settings:q} {params.frozen} --out {output} 2> {log}"
