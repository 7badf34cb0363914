"""Longer bars, bar by bar."""


def resample(bars: list[dict], seconds: int) -> list[dict]:
    """Bars with `time` in seconds put together to bars of a length in seconds, the volume summed."""
    longer: list[dict] = []
    for bar in bars:
        begin = bar["time"] - bar["time"] % seconds
        prices = [bar[name] for name in ("open", "high", "low", "close") if name in bar]
        if not longer or longer[-1]["time"] != begin:
            first = bar.get("open", bar["close"])
            longer.append({"time": begin, "open": first, "high": max(prices), "low": min(prices)})
        last = longer[-1]
        last["high"], last["low"] = max(last["high"], *prices), min(last["low"], *prices)
        last["close"] = bar["close"]
        if "volume" in bar:
            last["volume"] = last.get("volume", 0.0) + bar["volume"]
    return longer
