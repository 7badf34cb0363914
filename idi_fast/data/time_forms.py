"""What dates, times of day and counts of time look like, in the names and values of columns."""

import re
import unicodedata
from itertools import pairwise

import numpy as np
import polars as pl

from idi_fast.data.timestamps import (
    EARLIEST,
    LATEST,
    TICK_ZEROS,
    TICKS_OF_100_NS,
    TICKS_PER_SECOND,
    dates_in_digits,
    unit_of,
)

# Patterns are compiled on first use: a reader starts with every command, and most files need none.
WORD = (
    r"times?|dates?|datetimes?|(t|time|date)?stamps?|timestamps?|ts|dt|dttm|unix|unixtime|epoch|utc|gmt|clock|when"
    r"|datum|zeit|uhrzeit|zeitpunkt|zeitstempel|wann|fecha|hora|cuando|horodatage|heures?|quand|giorno|orario|quando"
    r"|tijd|tijdstip|tidspunkt|dato|paivamaara|pvm|czas|godzina|tarihi?|saat|zaman|tanggal|waktu"
    r"|дата|время|час|ημερομηνια|ωρα|תאריך|שעה|التاريخ|تاريخ|الوقت|وقت"
    r"|.*(日期|时间|時間|日付|日時|時刻|时刻|年月日|交易日|날짜|시간|일자|일시|시각).*"
    r"|(open|close|start|end|begin|trade|quote|bar|candle|event|local|gmt|utc|server|exchange)(time|date|stamp)"
    r"|(date|time)(open|close|start|end|utc|gmt|local|time|ms|us|ns)|(handels|borsen|stich)tag|(date|data)e?heure"
)
"""Words, without accents, that mark a column as times, whatever it holds …"""
NAME = (
    r"days?|months?|years?|hours?|minutes?|weeks?|quarters?|yyyy.?mm(.?dd)?|tag|monat|jahr|stunde|woche|quartal"
    r"|jours?|mois|annee|an|semaine|trimestre|dia|mes|ano|semana|data|data ora|giorno|mese|anno|ora|dag|maand|jaar|uur"
    r"|dzien|miesiac|rok|ay|gun|yil|день|месяц|год|年|月|日|년|월|일"
)
"""… and whole names that do."""
ORDER = (
    r"((trading|trade|market|bar|business|calendar|fiscal|reporting) )?"
    r"(periods?|index|idx|sessions?|seasons?|terms?|vintage|period[eo]|periode|zeitraum|indice|indeks|saison|stagione"
    r"|temporada|sesion|sitzung|sessione|seance|sessao|periodo|okres|период|сессия|期间|期間|기간)"
)
"""Names of columns that identify bars: by their times, unless they number rows or their values repeat."""
CLOCK = r"times?|hours?|minute|clock|zeit|uhrzeit|hora|heures?|orario|tijd|czas|godzina|время|saat|时间|時間|시간"
"""Words in the names of columns that may hold the time of day for the dates of another one."""
BAR_FIELD = (
    r"open|high|low|(adj|close|last|mid)?[ _]?(close|price)|last|mid|bid|ask|(quote )?volume|vol|vwap|trades|count"
    r"|amount|turnover|market[ _]?cap|open[ _]?(interest|int)|oi"
)
"""Names of columns that hold no times, though a few rows may look so."""
COUNTER = (
    r"(.* )?(ids?|no|nr|num|numbers?|nummer|rows?|row(num|no|id)|i|n|seq|sequence|count|counter|rank|unnamed|level"
    r"|block|height)( .*)?|"
)
"""Names, in words, of columns that number rows."""

EPOCHS_FROM = 10 * 31_536_000
"""Seconds from which on numbers in a column of any name count as epochs: 1979-12-30."""
DAY_NUMBERS = ((10_000, 80_000), (712_000, 770_000), (2_433_000, 2_489_000))
"""Numbers of the days of about 1950 to 2100: in spreadsheets, SAS, R and as modified Julian days; as ordinal days
and in MATLAB; as Julian days."""
DAY_PARTS = 1440
"""Tolerance, in minutes, within which counts of days with a fraction are whole minutes."""
ROUNDING = 0.02

MONTHS = (
    "jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june july august september "
    "october november december "
    "janner januar februar marz mrz maerz mai juni juli okt oktober dez dezember "
    "janv janvier fev fevr fevrier mars avr avril juin juil juillet aout septembre octobre novembre decembre "
    "ene enero febrero marzo abr abril mayo junio julio ago agosto septiembre setiembre octubre noviembre dic "
    "diciembre "
    "gen gennaio febbr febbraio aprile mag maggio giu giugno lug luglio sett settembre ott ottobre dicembre "
    "janeiro fevereiro marco maio junho julho setembro outubro novembro dezembro "
    "januari februari mrt maart mei augustus augusti maj "
    "sty stycznia lut lutego marca kwi kwietnia maja cze czerwca lip lipca sie sierpnia wrz wrzesnia paz pazdziernika "
    "lis listopada gru grudnia "
    "янв января январь фев февр февраля февраль мар марта март апр апреля апрель мая май июн июня июнь июл июля июль "
    "авг августа август сен сент сентября сентябрь окт октября октябрь ноя нояб ноября ноябрь дек декабря декабрь"
)
"""Months in English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Polish and Russian."""
AMID_DATES = (
    r"(mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)(day|nesday|rsday|urday)?|(mo|di|mi|do|fr|sa|so)"
    r"|(mon|diens|donners|frei|sams|sonn)tag|mittwoch|(lun|mar|mer|jeu|ven|sam|dim|mie|jue|vie|sab|dom)|(lun|mar|mercre|jeu"
    r"|vendre|same)di|dimanche|(lunes|martes|miercoles|jueves|viernes|sabado|domingo)|st|nd|rd|th|er|de|del|di|of|the|den|le"
    r"|el|um|uhr|h|t|z|am|pm|a|p|m|utc|gmt|[cepm][sd]?t|ce?st|г|в"
)
"""Other words of a date that is written with its month's name."""
DATE = (
    r"(?i)^\D{0,12}\d{1,4}[-/.\s]\s?\d{1,2}[-/.\s]\s?\d{1,4}(\D|$)"  # 2024-01-31, 31.01.2024 09:30, 1/31/24
    r"|^\d{8}[ t;_-]\d{1,2}:?\d{2}"  # 20240131 093000, 20240131 09:30:00
    r"|^\d{4}_\d{1,2}_\d{1,2}|^\d{4}-?w\d{2}-?\d?$|^(0?[1-9]|1[0-2])[-/](19|20)\d\d$"  # 2024_01_31, 2024-W05-3, 01/2024
    r"|^\d{4}[-/]\d{1,2}$|^(19|20)\d\d[-/]\d{3}(\D|$)|^\d{1,2}[-/]\d{1,2}$"  # 2024-01, 2024-031, 31/01
    r"|^(fy\s?)?(19|20)\d\d[\s/_.,-]*(q|h|m|w|t|s|cw|kw)[\s/_.-]?\d{1,2}$"  # 2024Q1, 2024 M01
    r"|^(q|h|m|w|t|s|cw|kw)[\s/_.-]?\d{1,2}[\s/_.,'’-]*(fy\s?)?(19|20)\d\d$"  # Q1 2024, KW 5/2024
    r"|^[1-4]\.?[qhts][\s/_.,'’-]*((19|20)\d\d|\d\d)$|^[qh][1-4][\s/_.,'’-]+\d\d$|^\d\d[qh][1-4]$"  # 1Q24, Q1-24, 24Q1
    r"|^fy[\s-]?['’]?(\d\d|(19|20)\d\d)([/-]\d{2,4})?$|^(19|20)\d\d/\d\d(\d\d)?$"  # FY2024, 2023/24
    r"|^/date\(-?\d+|^@\d{9,}|^\d{4}\s?[年년]"
)
TIME_OF_DAY = (
    r"(?i)^t?\d{1,2}[:h]\d{2}([:m]\d{2}s?([.,]\d+)?)?\s?([ap]\.?m\.?|uhr)?(z|[+-]\d{2}:?\d{2})?$"
    r"|^\d{1,2}\s?([ap]\.?m\.?|uhr)$"
)
MONTH_AND_YEAR = r"(0?[1-9]|1[0-2])\.(?:19|20)\d\d"
CLOCK_DIGITS = r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?"


def is_named_so(name: str) -> bool:
    """Whether the name of a column means times."""
    return (
        any(re.fullmatch(WORD, word) for word in words(name))
        or re.fullmatch(NAME, without_accents(name.strip())) is not None
    )


def is_bar_field(name: str) -> bool:
    """Whether the name of a column means prices, volumes and the like."""
    return re.fullmatch(BAR_FIELD, name.strip().lower()) is not None


def tells_bars_apart(name: str) -> bool:
    """Whether the name of a column says that it identifies bars, as times or numbers do."""
    return re.fullmatch(ORDER, " ".join(words(name))) is not None


def words(name: str) -> list[str]:
    """The words of a name like `Gmt time`, `open_time` or `openTime`, in lower case without accents."""
    apart = re.sub(r"(?<=[a-zа-я])(?=[A-ZА-Я])", " ", name)
    return re.findall(r"[^\W\d_]+", without_accents(apart))


def without_accents(text: str) -> str:
    """Lower case without accents."""
    parts = unicodedata.normalize("NFKD", text.lower())
    return unicodedata.normalize("NFKC", "".join(sign for sign in parts if not unicodedata.combining(sign)))


def as_text(values: pl.Series) -> list[str]:
    """Values as they are displayed."""
    unit = unit_of(values.dtype)
    if unit is not None and values.dtype != pl.Duration:  # polars panics on years that it cannot print
        return np.datetime_as_string(values.to_physical().to_numpy().astype(f"datetime64[{unit}]")).tolist()
    return [str(value) for value in values]


MONTH_WORDS = frozenset(map(without_accents, MONTHS.split()))


def is_named_for_clock(name: str) -> bool:
    """Whether a column may hold times of day, by its name."""
    return any(re.fullmatch(CLOCK, word) for word in words(name))


def is_clock(text: str) -> bool:
    """Whether a text is a time of day, not in digits alone."""
    return re.search(TIME_OF_DAY, text) is not None


def is_clock_digits(text: str) -> bool:
    """Whether digits are a time of day: 9, 930, 0930 or 093000."""
    return re.fullmatch(r"\d|[01]?\d|2[0-3]|([01]?\d|2[0-3])[0-5]\d([0-5]\d)?", text) is not None


def is_date(text: str) -> bool:
    """Whether a text is a date in one of the usual forms, with or without a time of day."""
    return re.search(DATE, text) is not None or (any(sign.isdigit() for sign in text) and _names_month(text))


def _names_month(text: str) -> bool:
    """Whether a text contains the name of a month, and otherwise only words that occur in dates."""
    found = re.findall(r"[^\W\d_]+", without_accents(text))
    return any(word in MONTH_WORDS for word in found) and all(
        word in MONTH_WORDS or re.fullmatch(AMID_DATES, word) for word in found
    )


def holds_times(name: str, values: pl.Series, *, leads: bool) -> bool:
    """Whether most values of a column look like dates, times of day or counts of time.

    leads: whether it comes before the prices, where numbers that count by one may be days as well as rows.
    """
    values = values.drop_nulls()
    if values.dtype in (pl.Date, pl.Datetime, pl.Time):
        return True
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.Binary:
        values = pl.Series([value.decode(errors="replace") for value in values], dtype=pl.String)
    if values.dtype == pl.Duration:
        values = values.to_physical()
        return bool(len(values) > 1 and _goes_one_way(values.to_numpy()) and not is_bar_field(name))
    if not len(values) or not (values.dtype == pl.String or values.dtype.is_numeric()):
        return False
    is_counter = re.fullmatch(COUNTER, " ".join(words(name))) is not None
    texts = [re.sub(r"\.0+$", "", text) for text in as_text(values)]
    if 2 * sum(is_date(text) or is_clock(text) for text in texts) >= len(texts) > 0:
        return True
    if is_bar_field(name):
        return False
    numbers_rows = is_counter and _are_consecutive(texts)
    if _are_months(texts) or (not numbers_rows and (_are_clocks(texts) or _spell_dates(texts))):
        return True
    numbers = values.cast(pl.Float64, strict=False).drop_nulls()
    return 2 * len(numbers) > len(values) and _counts_time(numbers.to_numpy(), leads and not is_counter)


def tells_order(values: pl.Series) -> bool:
    """Whether the values of a column never repeat and do not number its rows."""
    values = values.drop_nulls()
    if len(values) < 2 or values.dtype == pl.Boolean or values.dtype.is_nested():
        return False
    numbers = values.cast(pl.Float64, strict=False).drop_nulls()
    if len(numbers) == len(values):
        return _goes_one_way(numbers.to_numpy()) and not (np.diff(numbers.to_numpy()) == 1).all()
    return values.n_unique() == len(values)


def _goes_one_way(numbers: np.ndarray) -> bool:
    """Whether numbers only rise or only fall, with few exceptions, and do not stay the same."""
    steps = np.diff(numbers)
    # Not all: rows out of order are what a check of the times is for.
    return bool(steps.any()) and min((steps > 0).sum(), (steps < 0).sum()) <= max(1, numbers.size // 10)


def _are_months(texts: list[str]) -> bool:
    """Whether texts are names of months, or look like 01.2024."""
    named = [re.sub(r"\W+$", "", without_accents(text)) for text in texts]
    numbers = [re.fullmatch(MONTH_AND_YEAR, text) for text in texts]
    return any(
        len({*found} - {None}) > 1 and 2 * sum(month is not None for month in found) >= len(found)
        for found in (
            [name if name in MONTH_WORDS else None for name in named],
            [number and number[1] for number in numbers],  # a price of 1.2024 stays there
        )
    )


def _are_consecutive(texts: list[str]) -> bool:
    """Whether texts are integers that rise by one."""
    return all(text.isdecimal() and len(text) < 18 for text in texts) and all(
        int(later) - int(text) == 1 for text, later in pairwise(texts)
    )


def _are_clocks(texts: list[str]) -> bool:
    """Whether texts are times of day in digits, all of one length, such as 0930."""
    return (
        len({len(text) for text in texts}) == 1
        and any(text.startswith("0") for text in texts)
        and len(set(texts)) > 1
        and all(re.fullmatch(CLOCK_DIGITS, text) for text in texts)
        and _goes_one_way(np.array([float(text) for text in texts]) % 10**6)
    )


def _spell_dates(texts: list[str]) -> bool:
    """Whether texts are dates in digits, all in one form and in order, with few exceptions."""
    if not all(6 <= len(text) <= 17 and text.isdecimal() for text in texts) or len(texts) < 2:
        return False
    for form in dates_in_digits(texts[0]):
        dates = [dates_in_digits(text).get(form) for text in texts]
        if None not in dates and _goes_one_way(np.array(dates, "datetime64[s]").astype(np.int64)):
            return True
    return False


def _counts_time(numbers: np.ndarray, may_count: bool) -> bool:
    """Whether numbers only rise or only fall and are plausible epochs, days or years. may_count: even if they only
    count by one."""
    if numbers.size < 2 or not np.isfinite(numbers).all() or not _goes_one_way(numbers):
        return False
    low, high = numbers.min(), numbers.max()
    if any(EPOCHS_FROM * scale <= low and high <= LATEST * scale for scale in TICKS_PER_SECOND.values()):
        return True
    if any(
        (EARLIEST + zero) * TICKS_OF_100_NS <= low <= (LATEST + zero) * TICKS_OF_100_NS for zero in TICK_ZEROS.values()
    ):
        return True
    steps = np.abs(np.diff(numbers))
    is_whole = bool((numbers == np.floor(numbers)).all())
    if any(start <= low and high < stop for start, stop in DAY_NUMBERS):
        return _are_days(numbers, steps, is_whole, may_count)
    if low >= 1700 and high < 2100 and may_count:  # years, and months as their fractions
        return bool((steps == 1).all()) if is_whole else numbers.size > 2 and _are_regular(steps) and steps.max() <= 1
    return False


def _are_days(numbers: np.ndarray, steps: np.ndarray, is_whole: bool, may_count: bool) -> bool:
    if (steps == 1).all():  # rows are numbered so
        return may_count or not is_whole
    if not is_whole and (numbers.size >= 8 or may_count):
        minutes = numbers * DAY_PARTS
        if (np.abs(minutes - np.round(minutes)) <= ROUNDING).all() and steps.max() <= 31:
            return True
    if is_whole and may_count and steps.max() <= 7:
        return True
    return numbers.size >= 8 and steps.max() <= 31 and _are_regular(steps)


def _are_regular(steps: np.ndarray) -> bool:
    return bool((np.abs(steps - np.median(steps)) <= np.median(steps) / 5).mean() >= 0.5)
