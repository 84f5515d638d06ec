"""Write the configuration of this start: as a script, because one word of a command cannot hold a thousand plates."""

from profiling.files import whole_file

with whole_file(snakemake.output[0]) as temporary:  # noqa: F821
    temporary.write_text(f"{snakemake.params.config}\n", encoding="utf-8")  # noqa: F821
