"""Each kernel is compiled for one set of types, whatever the package is used for: a second one is a slow start and,
where it comes from a strided or read-only array, slow code."""

import subprocess
import sys

USE_EVERYTHING = """
import importlib, pkgutil, sys
from pathlib import Path
import numba
import polars as pl
from idi_fast import Policy, TrainingConfig, create_trainer, kernels, load_history, train_population
from idi_fast.backtesting.backtest import backtest
from idi_fast.backtesting.compat import compat_backtest

folder = Path(sys.argv[1])
n = 300
bars = pl.DataFrame({"close": [100.0 + (7 * i) % 13 for i in range(n)], "volume": list(range(1, n + 1))})
bars.write_csv(folder / "bars.csv")
bars.with_columns(open=pl.col("close"), risk=pl.lit(0)).write_parquet(folder / "bars.parquet")
histories = [load_history(folder / name) for name in ("bars.csv", "bars.parquet")]

def config(kind, **fields):
    return TrainingConfig.from_dict({"episodes": 4, "environment": {"kind": kind}, **fields})

compat = {"engine": {"compat": "idi_iann"}}
for settings in (
    config("synthetic"),
    config("synthetic", engine={"rng": "mt19937"}),
    config("synthetic", communication={"actions": ["alert"]}, quantizer={"mood_buckets": 1}),
    config("synthetic", **compat, tile_coder={}),
    config("synthetic", **compat, episodic={"enabled": True}),
    config("crypto", **compat),
    config("crypto"),
    config("crypto", learning={"algorithm": "q_lambda"}),
    config("crypto", tile_coder={"table_size": 100}),
    config("synthetic", learning={"rate_schedule": "visits"}, engine={"rng": "mt19937"}),
    config("crypto", engine={"rng": "mt19937"}),
):
    policy, _ = create_trainer(settings, seed=1).run()
    policy.frame()
    train_population(settings, range(2))
    if settings.engine.compat:
        compat_backtest(policy, histories[1], fee_bps=1.0)
for history in histories:
    for transform in ("zscore", "log_return", "drawdown", "ema_ratio", "volatility", "level"):
        features = {"price": {"column": "volume", "transform": transform}}
        policy, _ = create_trainer(config("history", features=features), history=history).run()
        train_population(policy.config, range(2), history=history)
        policy.save(folder / "policy.parquet")
        policy = Policy.load(folder / "policy.parquet")
        for fill in (None, "next_close", "same_close"):
            backtest(policy, history.slice(10, 200), fill=fill)

for info in pkgutil.iter_modules(kernels.__path__):
    module = importlib.import_module(f"idi_fast.kernels.{info.name}")
    found = dict(vars(module))
    for table in [value for value in found.values() if isinstance(value, dict)]:
        found |= {f"{kernel.__name__} {kind}": kernel for kind, kernel in table.items() if hasattr(kernel, "py_func")}
    for name, kernel in found.items():
        if isinstance(kernel, numba.core.dispatcher.Dispatcher) and kernel.__module__ == module.__name__:
            # An inlined leaf is compiled anew into each of its callers; 0 is one loaded from the cache within another.
            inlined = kernel.targetoptions.get("forceinline", False)
            print(info.name, name, "inlined" if inlined else len(kernel.signatures))
"""


def test_each_kernel_has_one_signature(tmp_path):
    command = [sys.executable, "-W", "error", "-c", USE_EVERYTHING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(counts) > 30
    assert {name: count for name, count in counts.items() if count not in ("0", "1", "inlined")} == {}
