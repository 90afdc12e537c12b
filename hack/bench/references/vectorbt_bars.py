"""vectorbt: the same crosses on the same bars, averages and portfolio, after its compiler has run."""

import numpy
import vectorbt
from bars import close_ticks, figure, timed

BARS = 200_000
CLOSE = numpy.array([close_ticks(number) / 100 for number in range(BARS)])


def run():
    fast, slow = vectorbt.MA.run(CLOSE, 2), vectorbt.MA.run(CLOSE, 5)
    portfolio = vectorbt.Portfolio.from_signals(
        CLOSE, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow), size=10, fees=0.0002, init_cash=100_000_000
    )
    portfolio.total_return()
    return len(portfolio.orders.records)


run()
figure("vectorbt", BARS, lambda: timed(run))
