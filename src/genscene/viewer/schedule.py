"""When a window's picture is rendered, and how large: moving, settled, sharp.

There is one slot, not a queue: what is newer replaces what is older.
"""

from dataclasses import dataclass
from typing import Literal

STILL = 0.2  # seconds without an event after which a camera has settled
State = Literal["moving", "settled", "sharp", "waiting"]
QUALITY: dict[State, int] = {"moving": 50, "settled": 75, "sharp": 90}  # of JPEG


@dataclass(frozen=True)
class Job:
    """A picture to be rendered."""

    state: State
    level: int  # 0: as small as a moving camera's; each level doubles the height
    number: int  # of the request that it answers

    @property
    def quality(self) -> int:
        """Of the JPEG that is sent."""
        return QUALITY[self.state]


@dataclass
class Schedule:
    """The state of one window; its methods are given the time in seconds."""

    state: State = "settled"
    level: int = 0
    number: int = 0  # of requests
    rendered: int = -1  # the last request that a picture of a moving camera has answered
    until: float = 0.0  # when a moving camera has settled

    def moved(self, now: float) -> None:
        """The camera, or an object, is moving: refining is cancelled."""
        self.number += 1
        self.state, self.level, self.until = "moving", 0, now + STILL

    def changed(self) -> None:
        """Another scene, or another way to show it: rendered at once, then refined."""
        self.number += 1
        self.state, self.level = "settled", 0

    def stepped(self) -> None:
        """Training has made other weights; this never replaces what a person has asked for."""
        if self.state == "waiting":
            self.number += 1
            self.state = "sharp"

    def next(self, now: float) -> Job | None:
        """What is to be rendered now, if anything."""
        if self.state == "moving" and now >= self.until:
            self.state = "settled"
        if self.state == "waiting" or (self.state == "moving" and self.rendered == self.number):
            return None
        return Job(self.state, self.level, self.number)

    def wait(self, now: float) -> float | None:
        """Seconds until something is due without an event; None: never."""
        return max(0.0, self.until - now) if self.state == "moving" else None

    def cancelled(self, job: Job) -> bool:
        """Whether a picture that is being rendered has become useless: those of a moving camera never do."""
        return job.state == "sharp" and job.number != self.number

    def done(self, job: Job, largest: bool) -> None:
        """A picture has been rendered; largest: there is none that is larger."""
        if job.state == "moving":
            self.rendered = job.number
        if job.number != self.number or job.state != self.state or job.state == "moving":
            return
        self.level = job.level + (not largest)
        self.state = "waiting" if largest else "sharp"

    def failed(self, job: Job) -> None:
        """A picture could not be rendered: it is not tried again until something else is asked for."""
        self.rendered = job.number
        if job.number == self.number:
            self.state = "waiting"
