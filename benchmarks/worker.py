"""One side of one case in a process of its own: python -m benchmarks.worker CASE plain|ours RESULT [tuned]

The plain side has the system's allocator, ours, and both where they are tuned, as the command line. For every
line on stdin the case is computed once and its seconds are printed; RESULT is the file of the first result.
"""

import sys
import time

import numpy as np

from genscene.cli import configure_process

if __name__ == "__main__":
    name, who, result, *tuned = sys.argv[1:]
    if who == "ours" or tuned:
        configure_process()
    import torch

    from benchmarks.cases import CASES
    from benchmarks.side import Side

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    case = CASES[name]
    torch.manual_seed(0)
    work = case.make(Side(who == "plain", device, "fp32" if who == "plain" else case.precision))
    np.save(result, work().float().cpu().numpy())
    work()
    print("ready", flush=True)
    for _ in sys.stdin:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        print(time.perf_counter() - start, flush=True)
