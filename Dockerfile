# An image with the workflow and the versions of constraints.txt; written, not built here.
#   docker build --tag profiling .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/screen" --volume /data:/data:ro profiling \
#       --cores all --configfile config.yaml
# GPUs: torch as PyPI has it for Linux brings CUDA along; the host needs NVIDIA's driver and container toolkit, the run
# `--gpus all`. Where there will never be a GPU, install PyTorch's CPU build of torch and torchvision first: it is
# smaller by gigabytes.
FROM python:3.11-slim

WORKDIR /opt/profiling
COPY LICENSE README.md Snakefile constraints.txt pyproject.toml ./
COPY config config
COPY docs docs
COPY profiles profiles
COPY profiling profiling
COPY rules rules
RUN pip install --no-cache-dir --constraint constraints.txt '.[slurm]'

# Users without a home folder: Snakemake and matplotlib keep caches.
ENV XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /screen
ENTRYPOINT ["snakemake", "--snakefile", "/opt/profiling/Snakefile"]
