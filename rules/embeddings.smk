NOT_OF_NETWORK = {"crop", "neighbours", "precision", "dtype", "thumbnails_per_well"}
NOT_OF_PRECISION = {"dtype", "thumbnails_per_well"}
NOT_OF_MODELS = {"precision", "dtype", "thumbnails_per_well"}


def embedding_settings(without):
    """Settings of the embedding but some, of which an edit changes nothing."""
    values = CONFIG.resolved("embedding")
    return lambda wildcards: json.dumps({k: v for k, v in values.items() if k not in without}, sort_keys=True)


def speed_options():
    """Device and batch size as command-line options, for `resources`: Snakemake does not look there for edits."""
    embedding = CONFIG.embedding
    batch_size = f" --batch-size {embedding.batch_size}" if embedding.batch_size else ""
    return f"--device {embedding.device}{batch_size}"


def precision_file():
    """What decides on the precision, or no file: made of one plate, the same when plates are added or excluded."""
    if CONFIG.embedding.precision != "auto":
        return []
    files = [f"results/models/precision-{row.plate}.json" for row in CONFIG.plates]
    possible = [f"results/models/precision-{plate}.json" for plate in PLATES]
    return next((file for file in [*possible, *files] if _decides(file, file in possible)), possible[0])


def _decides(file, possible):
    """Whether a decision is there and, where it could not be made again, was made with the present settings."""
    path = workflow.modifier.modify_path(file)
    if possible or not os.path.isfile(path):
        return os.path.isfile(path)
    with open(path) as content:
        return json.load(content).get("settings") == json.loads(embedding_settings(NOT_OF_PRECISION)(None))


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
    priority: 50
    localrule: True
    resources:
        mem_mb=memory(2000),
        runtime=30,
        gpu=0,
    params:
        settings=embedding_settings(NOT_OF_NETWORK),
        weights=lambda wildcards: weights_hash("embedding"),
    shell:
        "profiling backbone --settings {params.settings:q} --out {output.record} 2> {log}"


rule precision:
    input:
        images="results/images/{plate}.parquet",
        flatfields="results/illumination/{plate}",
        limits="results/limits/{plate}.parquet",
        segmented=chunk_pieces("segmented"),
        labels=label_folders,
        backbone="results/models/backbone.json",
    output:
        "results/models/precision-{plate}.json",
    log:
        "logs/precision/{plate}.log",
    benchmark:
        "logs/precision/{plate}.tsv"
    threads: 4 if CONFIG.embedding.device in ("cuda", "mps") else 1
    resources:
        mem_mb=memory(4000),
        runtime=60,
        gpu=0 if CONFIG.embedding.device == "cpu" else 1,
        speed=speed_options(),
    params:
        folder=folder,
        channels=CONFIG.channels,
        settings=embedding_settings(NOT_OF_PRECISION),
    shell:
        "profiling precision --images {input.images} --folder {params.folder:q} --flatfields {input.flatfields}"
        " --limits {input.limits} --segmented {input.segmented} --labels {input.labels} --backbone {input.backbone}"
        " --channels {params.channels} --settings {params.settings:q} {resources.speed} --threads {threads}"
        " --out {output} 2> {log}"


rule embed:
    input:
        images="results/images/{plate}.parquet",
        flatfields="results/illumination/{plate}",
        limits="results/limits/{plate}.parquet",
        segmented="results/chunks/{plate}/{chunk}/segmented.parquet",
        labels="results/labels/{plate}/{chunk}",
        backbone="results/models/backbone.json",
        precision=precision_file(),
    output:
        embeddings="results/chunks/{plate}/{chunk}/embeddings.parquet",
        cells="results/chunks/{plate}/{chunk}/cells.parquet",
        thumbnails="results/chunks/{plate}/{chunk}/thumbnails.parquet",
    log:
        "logs/embed/{plate}/{chunk}.log",
    benchmark:
        "logs/embed/{plate}/{chunk}.tsv"
    threads: 4 if CONFIG.embedding.device in ("cuda", "mps") else 1
    resources:
        mem_mb=memory(4000),
        runtime=480,
        gpu=0 if CONFIG.embedding.device == "cpu" else 1,
        speed=speed_options(),
    params:
        folder=folder,
        chunk=chunk_options,
        channels=CONFIG.channels,
        precision=lambda wildcards, input: f"--precision {input.precision}" if input.precision else "",
        settings=lambda wildcards: settings("embedding"),
    shell:
        "profiling embed --images {input.images} --folder {params.folder:q} --flatfields {input.flatfields}"
        " --limits {input.limits} --segmented {input.segmented} --labels {input.labels} --backbone {input.backbone}"
        " {params.chunk} --channels {params.channels} --settings {params.settings:q} {params.precision}"
        " {resources.speed} --threads {threads}"
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
