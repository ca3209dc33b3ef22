"""How things are timed: by turns, so that what else the machine does hits all, and by the best."""

import time

PAUSE = 0.15  # seconds before a turn on several threads: so long an idle pool may keep a core busy

# And so long, after it, a call is repeated before it counts: threads that were woken late are done
# without for 20 ms (`_jit.Backoff`), and a CPU that has slept is slow at first.
WARM = 0.03


def best_times(calls, turns=8, samples=8, sample=3e-4, pause=0.0):
    """The shortest time of each call in seconds, all of them taking turns.

    samples  timings in a turn, each of so many calls that it takes about `sample` seconds
    pause    seconds of sleep before each turn
    """
    repeats = [max(1, int(sample / max(seconds(call), 1e-9))) for call in calls]
    times = [float("inf")] * len(calls)
    for _ in range(turns):
        for i, call in enumerate(calls):
            if pause:
                time.sleep(pause)
                begin = time.perf_counter()
                while time.perf_counter() < begin + WARM:
                    call()
            for _ in range(samples):
                times[i] = min(times[i], seconds(call, repeats[i]))
    return times


def seconds(call, times=1):
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
