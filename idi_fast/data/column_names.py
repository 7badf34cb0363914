"""The names that vendors give to the columns of bars, in several languages."""

import re
from collections.abc import Iterable

from idi_fast.data.time_forms import without_accents

# The names each column usually has, best first, as `folded` writes them.
TIME_NAMES = (
    "time,timestamp,date,datetime,ts,open time,close time,date time,opentime,closetime,gmt time,utc time"
    ",local time,time utc,timestamp utc,datetime utc,date utc,date gmt,trade date,unix,unix time"
    ",unix timestamp,dt,datum,fecha,data,дата,tarih,日期,时间,日付,날짜,snapped at,window start,exchange date"
    ",etc utc,start time,begin,time stamp,timestamp ms,ts event,交易日期,日時,日付け,일자,일시,zeit,zeitpunkt"
    ",время"
)
PRICE_NAMES = (
    "close,adj close,adjclose,close price,price,last,last price,mid,mid price,close last,last close"
    ",closing price,settle,settlement,settlement price,schluss,schlusskurs,kurs,cierre,ultimo,cloture"
    ",fermeture,dernier,chiusura,fechamento,slot,zamkniecie,закрытие,цена,收盘,收盘价,終値,종가,zuletzt"
    ",ostatnio,laatste,simdi,sluiten,slotkoers,fecho,clot,px last,px close,收盤,收盤價"
    ",kapanıs,stangning"
)
OPEN_NAMES = (
    "open,open price,opening price,eroffnung,offnung,erster,apertura,ouverture,abertura,otwarcie,открытие"
    ",开盘,开盘价,始値,시가,eroffnungskurs,eroffn,ouv,откр,px open,開盤,開盤價,openen"
    ",acılıs,oppning"
)
HIGH_NAMES = (
    "high,high price,hoch,tageshoch,maximo,maxima,plus haut,haut,massimo,max,hoog,najwyzszy,максимум,макс"
    ",最高,最高价,高値,고가,px high,最高價,hochst"
    ",yuksek,hogst"
)
LOW_NAMES = (
    "low,low price,tief,tagestief,minimo,minima,plus bas,bas,min,laag,najnizszy,минимум,мин,最低,最低价,安値"
    ",저가,px low,最低價,tiefst"
    ",dusuk,lagst"
)
VOLUME_NAMES = (
    "volume,vol,real volume,base volume,volumen,volumes,wolumen,stuck,объем,成交量,出来高,거래량"
    ",trading volume,traded volume,trade volume,total volume,volume traded,shares traded,no of shares,umsatz"
    ",stucke,stuecke,wol,交易量,成交股数,px volume,tick volume,tickvol,tickvolume,tick vol"
    ",hacim,hac,volym"
)
USUAL_NAMES = {
    "time": TIME_NAMES.split(","),
    "close": PRICE_NAMES.split(","),
    "open": OPEN_NAMES.split(","),
    "high": HIGH_NAMES.split(","),
    "low": LOW_NAMES.split(","),
    "volume": VOLUME_NAMES.split(","),
    "risk": [],
}
LETTERS = {"time": "t", "close": "c", "open": "o", "high": "h", "low": "l", "volume": "v"}
"""The names of data interfaces, which count where a file has those of all four prices."""
INDEX_NAMES = ("unnamed: 0", "__index_level_0__")  # what pandas calls an index without a name
KNOWN_WORDS = tuple(name for names in USUAL_NAMES.values() for name in names)


def folded(name: str) -> str:
    """A column's name without its case, accents and punctuation: `<CLOSE>`, `4. close`, `Close/Last`, `Close (USD)`;
    and without the mark that polars adds to repeats in a CSV header."""
    name = re.sub(r"_duplicated_\d+$", "", name)
    name = re.sub(r"^\s*\d+[a-z]?\.\s+|\s*[(\[].*[)\]]\s*$", "", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # openPrice
    return " ".join(re.findall(r"[^\W_]+", without_accents(name))) or name.strip().lower()


def listing(names: Iterable[str]) -> str:
    """Names in quotes, in a row."""
    return ", ".join(map(repr, names))
