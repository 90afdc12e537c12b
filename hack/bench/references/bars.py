"""The bars that src/trading/benches/figures.rs makes, and the median of five runs over them."""

import statistics
import sys
import time

MINUTE_NS = 60 * 10**9


def close_ticks(number):
    return 10_000 + 40 * (number % 9) - 30 * (number % 7) + number // 100 % 500


def figure(name, bars, once):
    """Prints `name bars_per_second fills`; `once` runs everything anew and gives seconds and fills."""
    runs = [once() for _ in range(5)]
    seconds = statistics.median(run[0] for run in runs)
    print(f"{name} {bars / seconds:.0f} {runs[0][1]}")
    sys.stdout.flush()


def timed(run):
    start = time.perf_counter()
    answer = run()
    return time.perf_counter() - start, answer
