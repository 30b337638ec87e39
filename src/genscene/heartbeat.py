"""Signs of life between the processes of a run: which one was lost, and an end where all would wait."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Never

import torch.distributed as dist

from genscene.errors import RankLost

BEAT = 1.0  # seconds between two signs of life
SUSPECTED, SILENT = 5, 40  # missing ones of a process when a connection broke; while others wait for it
LEFT = 1 << 40  # added to the count of a process that has ended as it should
STORE = -1  # in place of a rank: the store of torchrun, on the machine of rank 0


class Heartbeat:
    """Counts up in the store of torchrun once in a while, and looks whether the other processes do."""

    def __init__(self, rank: int, world: int):
        """Connect to the store, at the address in the environment; raises what torch raises."""
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.rank, self.world, self.waits = rank, world, False
        self.advice = "start all again, a training run with --resume"
        # own beats since the last sign of the others: they do not grow while this process is stopped
        self.missing = {other: 0 for other in (STORE, *range(world)) if other != rank}
        limit = timedelta(seconds=SILENT * BEAT)
        store = dist.TCPStore  # type: ignore[attr-defined]
        self._store = store(address, port, is_master=False, timeout=limit, wait_for_workers=False)
        self._parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        self._ended = threading.Event()
        # a connection to a machine without power blocks: what counts its silence does not wait for it
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._beat, self._watch)]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Communication with the other processes; raises RankLost where it breaks.

        Where it does not break, but waits for a process that is silent, this one ends.
        """
        self.waits = True
        try:
            yield
        except RuntimeError as error:
            raise RankLost(self._explanation()) from error
        finally:
            self.waits = False

    def close(self, left: bool, reason: str = "") -> None:
        """End the signs of life; left: this process was not lost. reason: why it ends, for the others."""
        self._ended.set()
        for thread in self._threads:
            thread.join(SUSPECTED * BEAT)
        if any(thread.is_alive() for thread in self._threads):
            return  # the store does not answer
        with suppress(RuntimeError):
            if left:
                self._store.add(_key(self.rank), LEFT)
            elif reason:
                self._store.set(_reason(self.rank), reason)

    def _beat(self) -> None:
        counts = {other: -1 for other in self.missing if other != STORE}
        while not self._ended.wait(BEAT):
            with suppress(RuntimeError):  # the machine of the store is lost
                self._store.add(_key(self.rank), 1)
                self.missing[STORE] = 0
                for other, before in counts.items():
                    counts[other] = self._store.add(_key(other), 0)
                    if counts[other] != before or counts[other] >= LEFT:
                        self.missing[other] = 0

    def _watch(self) -> None:
        while not self._ended.wait(BEAT):
            for other in self.missing:
                self.missing[other] += 1
            if self._parent is not None and os.getppid() != self._parent:
                self._end(f"the torchrun that started process {self.rank} was lost: {self.advice}")
            lost = self._longest_silent()
            if self.waits and self.missing[lost] >= SILENT:
                self._end(self._message(lost))

    def _end(self, line: str) -> Never:
        """End this process: torch waits without looking at signals or exceptions."""
        print(f"genscene: {line}", file=sys.stderr, flush=True)
        os._exit(1)

    def _longest_silent(self) -> int:
        """The process that has given no sign for the longest time; rank 0 where its machine is silent."""
        if self.missing[STORE] >= SUSPECTED:
            return 0 if self.rank else STORE
        return max((other for other in self.missing if other != STORE), key=self.missing.__getitem__)

    def _explanation(self) -> str:
        """Why communication broke: the reason another process gave, or which is silent; in some seconds."""
        before = None
        with suppress(ValueError):  # signals reach the main thread only
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others by it
        try:
            for _ in range(2 * SUSPECTED):
                given = self._reason_given()
                if given:
                    return given
                self._ended.wait(BEAT)
                lost = self._longest_silent()
                if self.missing[lost] >= SUSPECTED:
                    return self._message(lost)
            return self._message(None)
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)

    def _reason_given(self) -> str:
        """The reason that another process gave for its end; "" where there is none."""
        with suppress(RuntimeError):
            for other in self.missing:
                if self.missing[STORE] < 2 and other != STORE and self._store.check([_reason(other)]):
                    reason = self._store.get(_reason(other)).decode(errors="replace")
                    return f"process {other} of the {self.world} has ended: {reason}"
        return ""

    def _message(self, lost: int | None) -> str:
        which = "another process" if lost is None else f"process {lost}"
        if lost == STORE:
            return f"the torchrun of process {self.rank} was lost: {self.advice}"
        return f"{which} of the {self.world} was lost: {self.advice}"


def _key(rank: int) -> str:
    return f"genscene/{rank}"


def _reason(rank: int) -> str:
    return f"genscene/reason/{rank}"
