"""When pictures are rendered: states, cancelling, and the share of the time that training is left."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genscene.viewer.pace import BURST, Pace
from genscene.viewer.schedule import STILL, Schedule


class Clock:
    """A clock that is turned by hand; sleeping turns it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def rendered(schedule, now, levels=3):
    """All pictures that are rendered until nothing is due -> their states and levels."""
    found = []
    while (job := schedule.next(now)) is not None:
        found.append((job.state, job.level))
        schedule.done(job, job.level == levels)
    return found


def test_a_new_window_is_drawn_small_then_refined_once():
    schedule = Schedule()
    assert rendered(schedule, 0.0) == [("settled", 0), ("sharp", 1), ("sharp", 2), ("sharp", 3)]
    assert schedule.next(1e9) is None
    assert schedule.wait(0.0) is None


def test_a_burst_of_moves_gives_small_pictures_then_one_settled():
    schedule, now, states = Schedule(), 0.0, []
    for _ in range(20):
        now += 0.05
        schedule.moved(now)
        states += rendered(schedule, now)
    assert states == [("moving", 0)] * 20
    assert schedule.next(now) is None
    assert schedule.wait(now) == pytest.approx(STILL)
    assert rendered(schedule, now + STILL)[:2] == [("settled", 0), ("sharp", 1)]


def test_moves_while_a_picture_is_drawn_are_one_slot():
    schedule = Schedule()
    schedule.moved(0.0)
    job = schedule.next(0.0)
    for i in range(50):
        schedule.moved(0.001 * i)
    assert not schedule.cancelled(job)  # pictures of a moving camera are shown, or there would be none
    schedule.done(job, False)
    assert rendered(schedule, 0.06) == [("moving", 0)]


@pytest.mark.parametrize("event", ["moved", "changed"])
def test_refining_is_cancelled_by_an_event(event):
    schedule = Schedule()
    schedule.done(schedule.next(0.0), False)
    job = schedule.next(0.0)
    assert job.state == "sharp"
    assert not schedule.cancelled(job)
    getattr(schedule, event)(*([0.0] if event == "moved" else []))
    assert schedule.cancelled(job)
    schedule.done(job, True)  # finished all the same: the newer request is not forgotten
    assert schedule.next(STILL).state == "settled"


def test_a_step_of_training_never_replaces_what_a_person_asks_for():
    schedule = Schedule()
    rendered(schedule, 0.0)
    schedule.stepped()
    assert rendered(schedule, 0.0) == [("sharp", 3)]  # at once in the size that is shown
    schedule.moved(1.0)
    schedule.stepped()
    assert schedule.next(1.0).state == "moving"
    schedule.changed()
    schedule.stepped()
    assert schedule.next(1.0).state == "settled"


def test_what_fails_is_not_tried_again_until_something_changes():
    schedule = Schedule()
    schedule.failed(schedule.next(0.0))
    assert schedule.next(1e9) is None
    schedule.moved(1.0)
    schedule.failed(schedule.next(1.0))
    assert schedule.next(2.0) is None
    schedule.changed()
    assert schedule.next(2.0).state == "settled"


@given(st.lists(st.sampled_from(["moved", "changed", "stepped", "render", "fail", "time"]), max_size=60))
def test_after_any_events_the_last_picture_is_sharp(events):
    schedule, now, job = Schedule(), 0.0, None
    for event in events:
        if event == "time":
            now += 0.15
        elif event == "moved":
            schedule.moved(now)
        elif event in ("changed", "stepped"):
            getattr(schedule, event)()
        elif job is None:
            job = schedule.next(now)
        else:
            schedule.failed(job) if event == "fail" else schedule.done(job, job.level == 3)
            job = None
    schedule.changed()
    assert rendered(schedule, now + 1)[-1] == ("sharp", 3)


def test_drawing_beside_training_takes_no_more_than_its_share():
    clock, spent = Clock(), 0.0
    pace = Pace(0.9, clock, clock.sleep)
    began = clock.now
    while clock.now < began + 60:
        with pace.rendering() as between:
            for _ in range(5):
                clock.now += 0.03
                spent += 0.03
                assert not between(lambda: False)
        with pace.counted():  # sending
            clock.now += 0.01
            spent += 0.01
    assert spent <= 0.1 * (clock.now - began) + BURST + 0.03
    assert spent > 0.09 * (clock.now - began)


def test_a_pause_and_no_training_leave_all_the_time():
    clock = Clock()
    for pace in (Pace(0.0, clock, clock.sleep), Pace(0.99, clock, clock.sleep)):
        pace.free = pace.training > 0
        began = clock.now
        for _ in range(100):
            with pace.rendering() as between:
                clock.now += 0.1
                between(lambda: False)
        assert clock.now - began == pytest.approx(10)


def test_who_waits_for_time_stops_when_the_picture_has_become_useless():
    clock = Clock()
    pace = Pace(0.99, clock, clock.sleep)
    with pace.rendering() as between:
        clock.now += 100  # a debt of hours
        began = clock.now
        assert between(lambda: True)
        assert clock.now - began < 1


def test_one_thread_draws_at_a_time_and_others_get_the_turn_between_parts():
    pace, order, inside = Pace(), [], threading.Event()

    def other():
        inside.set()
        with pace.rendering():
            order.append("other")

    with pace.rendering() as between:
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(5)
        time.sleep(0.05)
        with pace.turn(blocking=False) as mine:
            assert not mine
        assert not order
        between(lambda: False)
        assert order == ["other"]
    thread.join(5)
    with pace.turn(blocking=False) as mine:
        assert mine
