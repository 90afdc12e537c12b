"""NautilusTrader: the same crosses on the same bars, loading not counted, its risk engine in the path."""

from decimal import Decimal

from bars import MINUTE_NS, close_ticks, figure, timed
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

BARS = 50_000
INSTRUMENT = TestInstrumentProvider.btcusdt_binance()
TYPE = BarType.from_str(f"{INSTRUMENT.id}-1-MINUTE-LAST-EXTERNAL")


class Crosses(Strategy):
    def __init__(self):
        super().__init__(StrategyConfig())
        self.fast, self.slow = SimpleMovingAverage(2), SimpleMovingAverage(5)
        self.before, self.fills, self.held = None, 0, False

    def on_start(self):
        self.subscribe_bars(TYPE)

    def on_bar(self, bar):
        self.fast.update_raw(bar.close.as_double())
        self.slow.update_raw(bar.close.as_double())
        if not self.slow.initialized:
            return
        difference, before = self.fast.value - self.slow.value, self.before
        self.before = difference
        if before is None:
            return
        if before < 0 < difference and not self.held:
            self.send(OrderSide.BUY)
        elif before > 0 > difference and self.held:
            self.send(OrderSide.SELL)

    def send(self, side):
        self.held = side == OrderSide.BUY
        self.submit_order(self.order_factory.market(INSTRUMENT.id, side, Quantity(10, INSTRUMENT.size_precision)))

    def on_order_filled(self, event):
        self.fills += 1


def bar(number):
    close = close_ticks(number)
    price = lambda ticks: Price(Decimal(ticks) / 100, INSTRUMENT.price_precision)
    closes = (number + 1) * MINUTE_NS
    volume = Quantity(9_000, INSTRUMENT.size_precision)
    return Bar(TYPE, price(close), price(close + 10), price(close - 10), price(close), volume, closes, closes)


def once():
    engine = BacktestEngine(config=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(100_000_000, USDT), Money(0, BTC)],
    )
    engine.add_instrument(INSTRUMENT)
    engine.add_data(DATA)
    strategy = Crosses()
    engine.add_strategy(strategy)
    seconds, _ = timed(engine.run)
    fills = strategy.fills
    engine.dispose()
    return seconds, fills


DATA = [bar(number) for number in range(BARS)]
figure("nautilus", BARS, once)
