"""Per-cell embeddings: backbones and their weights, the compute engine, crops and extraction."""


def load_embedder(*args, **kwargs):
    """See :func:`profiling.embeddings.engine.load_embedder`; torch is imported only when it is called."""
    from profiling.embeddings.engine import load_embedder

    return load_embedder(*args, **kwargs)
