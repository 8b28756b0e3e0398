"""A churn model that looks after itself, as one Dagster asset graph."""

import os
import platform

# One BLAS thread, and the arithmetic of any x86-64 with AVX2: numpy and OpenBLAS choose their code by the processor,
# and the last digits of sums and logarithms follow (docs/reproduce.md). It must be said before numpy is loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
if platform.machine() == "x86_64":
    os.environ.update(OPENBLAS_CORETYPE="Haswell", NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR")
