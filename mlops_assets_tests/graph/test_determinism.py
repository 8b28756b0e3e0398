"""The same data, code and parameters give the same bytes: elsewhere, at any hash seed, in any language and time zone.

On another processor too: which kernels numpy and its BLAS pick must not depend on the machine.
"""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets_tests.graph.conftest import Clone, Watched

PROJECT = Path(__file__).resolve().parents[2]

KERNELS = """
import mlops_assets
import numpy, scipy.linalg
from numpy._core._multiarray_umath import __cpu_features__ as found
from threadpoolctl import threadpool_info
blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
wide = [name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if found.get(name)]
print({pool["architecture"] for pool in blas}, {pool["num_threads"] for pool in blas}, wide)
"""


def test_every_file_has_the_same_bytes_in_another_place_and_process(clone: "Clone", watched: "Watched") -> None:
    ours, theirs = clone.files(), watched.clone.files()
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_arithmetic_is_done_as_on_any_x86_64_with_avx2() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KERNELS],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env={},
    )
    assert done.stdout.strip() == "{'Haswell'} {1} []"
