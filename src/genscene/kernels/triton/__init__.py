"""The operations as Triton kernels, for CUDA; interpreted on the CPU where TRITON_INTERPRET=1 (tests).

To be imported only where Triton is installed: `genscene.kernels` does so when its door chooses them.
"""

import os


def interpreted() -> bool:
    """Whether Triton's kernels are interpreted on the CPU, slowly, as tests do."""
    return os.environ.get("TRITON_INTERPRET") == "1"
