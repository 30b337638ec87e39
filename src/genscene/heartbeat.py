"""Signs of life between the processes of a run: which one was lost, and an end where all would wait."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch.distributed as dist

from genscene.errors import RankLost

BEAT = 1.0  # seconds between two signs of life
SUSPECTED, SILENT = 5, 40  # missing ones of a process when a connection broke; while others wait for it
LEFT = 1 << 40  # added to the count of a process that has ended as it should


class Heartbeat:
    """Counts up in the store of torchrun once in a while, and looks whether the other processes do."""

    def __init__(self, rank: int, world: int):
        """Connect to the store, at the address in the environment; raises what torch raises."""
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.rank, self.world, self.waits = rank, world, False
        # own beats since the last sign of the others: they do not grow while this process is stopped
        self.missing = {other: 0 for other in range(world) if other != rank}
        limit = timedelta(seconds=SILENT * BEAT)
        store = dist.TCPStore  # type: ignore[attr-defined]
        self._store = store(address, port, is_master=False, timeout=limit, wait_for_workers=False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Communication with the other processes; raises RankLost where it breaks.

        Where it does not break, but waits for a process that is silent, this one ends.
        """
        self.waits = True
        try:
            yield
        except RuntimeError as error:
            raise RankLost(self._message(self._suspect())) from error
        finally:
            self.waits = False

    def close(self, left: bool) -> None:
        """End the signs of life; left: this process was not lost."""
        self._ended.set()
        self._thread.join()
        if left:
            with suppress(RuntimeError):
                self._store.add(_key(self.rank), LEFT)

    def _beat(self) -> None:
        counts = dict.fromkeys(self.missing, -1)
        while not self._ended.wait(BEAT):
            try:
                self._store.add(_key(self.rank), 1)
                for other, before in counts.items():
                    counts[other] = self._store.add(_key(other), 0)
                    alive = counts[other] != before or counts[other] >= LEFT
                    self.missing[other] = 0 if alive else self.missing[other] + 1
            except RuntimeError:  # the store is on the machine of rank 0
                if 0 in self.missing:
                    self.missing[0] += 1
            if self.waits and max(self.missing.values()) >= SILENT:
                lost = max(self.missing, key=self.missing.__getitem__)
                print(f"genscene: {self._message(lost)}", file=sys.stderr, flush=True)
                os._exit(1)  # torch waits without looking at signals or exceptions

    def _suspect(self) -> int | None:
        """The process that has been silent the longest, in some seconds; None if no one is."""
        before = None
        with suppress(ValueError):  # signals reach the main thread only
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others by it
        try:
            for _ in range(2 * SUSPECTED):
                self._ended.wait(BEAT)
                if max(self.missing.values()) >= SUSPECTED:
                    return max(self.missing, key=self.missing.__getitem__)
            return None
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)

    def _message(self, lost: int | None) -> str:
        which = "another process" if lost is None else f"process {lost}"
        return f"{which} of the {self.world} was lost: start all again, a training run with --resume"


def _key(rank: int) -> str:
    return f"genscene/{rank}"
