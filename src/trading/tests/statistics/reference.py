"""Writes expected.json: an equity curve and what empyrical-reloaded 0.5.12 says of it.

    python3 -m pip install empyrical-reloaded==0.5.12 pytz
    python3 reference.py >expected.json
"""
import json

import empyrical
import numpy
import pandas
from scipy import stats

state, cents, curve = 20040819, 10_000_000, []
for _ in range(760):
    curve.append(cents)
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    cents += (state >> 33) % 200_001 - 98_000

equity = pandas.Series([value / 100 for value in curve])
returns = equity.pct_change().dropna()


def of(periods):
    year = {"annualization": periods}
    return {
        "totalReturn": empyrical.cum_returns_final(returns),
        "annualReturn": empyrical.annual_return(returns, **year),
        "annualVolatility": empyrical.annual_volatility(returns, **year),
        "sharpe": empyrical.sharpe_ratio(returns, **year),
        "sortino": empyrical.sortino_ratio(returns, **year),
        "maxDrawdown": empyrical.max_drawdown(returns),
        "calmar": empyrical.calmar_ratio(returns, **year),
        "omega": empyrical.omega_ratio(returns, annualization=1),
        "skew": stats.skew(returns),
        "excessKurtosis": stats.kurtosis(returns),
        "valueAtRisk": empyrical.value_at_risk(returns),
        "expectedShortfall": empyrical.conditional_value_at_risk(returns),
        "tailRatio": empyrical.tail_ratio(returns),
        "stability": empyrical.stability_of_timeseries(returns),
    }


expected = {str(periods): {name: float(value) for name, value in of(periods).items()} for periods in (365, 252, 12)}
assert all(numpy.isfinite(list(of.values())).all() for of in expected.values())
print(json.dumps({"equity": [f"{value // 100}.{value % 100:02}" for value in curve], "expected": expected}, indent=1))
