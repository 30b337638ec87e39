"""One side of one case in a process of its own: python -m benchmarks.worker CASE system|plain|ours RESULT.

The plain side has the system's allocator (system), or the process is configured as the command line does it
(plain); ours is always so. First the floating-point operations of products and convolutions and the machine's
peak of them a second are printed; then for every line on stdin the case is computed once, and its seconds by
the clock and of the processor are printed. RESULT is the file of the first result.
"""

import sys
import time

import numpy as np

from genscene.cli import configure_process

if __name__ == "__main__":
    name, who, result = sys.argv[1:]
    if who != "system":
        configure_process()
    import torch

    from benchmarks.cases import CASES
    from benchmarks.peak import Operations, peak
    from benchmarks.side import Side, synchronize
    from genscene.training.loop import Precision, set_matmul_precision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    case = CASES[name]
    precision: Precision = case.precision if who == "ours" else "fp32"
    set_matmul_precision(precision)
    torch.manual_seed(0)
    work = case.make(Side(who != "ours", device, precision))
    with Operations() as operations:
        found = work()
    np.save(result, found.float().cpu().numpy())
    work()
    print(operations.total, peak(device, precision) if who == "ours" else 0, flush=True)
    for _ in sys.stdin:
        synchronize(device)
        start = time.perf_counter(), time.process_time()
        work()
        synchronize(device)
        print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)
