"""backtesting.py: the same crosses on the same bars."""

import pandas
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import SMA
from bars import close_ticks, figure, timed

BARS = 50_000
CLOSE = [close_ticks(number) / 100 for number in range(BARS)]
DATA = pandas.DataFrame(
    {"Open": CLOSE, "High": [c + 0.1 for c in CLOSE], "Low": [c - 0.1 for c in CLOSE], "Close": CLOSE, "Volume": 9_000},
    index=pandas.date_range("2020-01-01", periods=BARS, freq="min"),
)


class Crosses(Strategy):
    def init(self):
        self.fast, self.slow = self.I(SMA, self.data.Close, 2), self.I(SMA, self.data.Close, 5)

    def next(self):
        if crossover(self.fast, self.slow) and not self.position:
            self.buy(size=10)
        elif crossover(self.slow, self.fast) and self.position:
            self.position.close()


def run():
    stats = Backtest(DATA, Crosses, cash=100_000_000, commission=0.0002).run()
    return 2 * int(stats["# Trades"])


figure("backtesting", BARS, lambda: timed(run))
