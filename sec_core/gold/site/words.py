"""Words, numbers and dates as each language writes them. Messages are English in templates, Spanish in `locale/es.po`.

Times are Chile's. What is not known is written as such: it never becomes a 0.
"""

import io
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Final

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol, get_group_symbol

from sec_core.hours import CHILE

LOCALES: Final = {"es": "es_CL", "en": "en_US"}


@cache
def catalogue(code: str) -> Mapping[str, str]:
    """Messages of a language by their English text; English needs none."""
    if code == "en":
        return {}
    text = files("sec_core.gold.site").joinpath("locale", f"{code}.po").read_bytes()
    found = read_po(io.BytesIO(text), locale=code)
    return {str(message.id): str(message.string) for message in found if message.id and message.string}


class Language:
    """One language of the site.

    Attributes:
        code: `es` or `en`.
        tag: What `lang` says.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = Locale.parse(LOCALES[code])
        self.tag = LOCALES[code].replace("_", "-")
        self._marks = str.maketrans({",": get_group_symbol(self.locale), ".": get_decimal_symbol(self.locale)})
        self._percent = "\N{NO-BREAK SPACE}%" if code == "es" else "%"
        self.no_data = self.gettext("no data")

    def gettext(self, message: str) -> str:
        """A message in this language; as it stands if it has no translation."""
        return catalogue(self.code).get(message, message)

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number; what would round to 0 without being it is written as less than the smallest that is shown."""
        if value is None:
            return self.no_data
        if value and abs(value) < 0.5 * 10**-digits:
            return f"<\N{NO-BREAK SPACE}{self.number(10**-digits, digits)}"
        return f"{value:,.{digits}f}".translate(self._marks)

    def percent(self, share: float | None, digits: int = 0) -> str:
        """A share in percent; one below 100% is never rounded up to it."""
        if share is None:
            return self.no_data
        if share < 1 and round(100 * share, digits) >= 100:
            return f">\N{NO-BREAK SPACE}{self.number(100 - 10**-digits, digits)}{self._percent}"
        return self.number(100 * share, digits) + self._percent

    def interval(self, low: float | None, high: float | None, digits: int = 2) -> str:
        """Bounds; empty where there are none."""
        if low is None or high is None:
            return ""
        return f"{self.number(low, digits)}\N{EN DASH}{self.number(high, digits)}"

    def day_of(self, instant: datetime) -> str:
        """The day of an instant in Chile."""
        return self.day(instant.astimezone(CHILE).date())

    @cache  # noqa: B019 - languages last
    def day(self, day: date | None, form: str = "d MMM y") -> str:
        """A day in a form of Babel's."""
        return self.no_data if day is None else format_date(day, form, locale=self.locale)

    @cache  # noqa: B019 - as above
    def month(self, month: date) -> str:
        """A month and its year."""
        return format_date(month, "MMM y", locale=self.locale)

    @cache  # noqa: B019 - as above
    def moment(self, instant: datetime | None) -> str:
        """An instant on the wall clock of Chile."""
        if instant is None:
            return self.no_data
        return format_datetime(instant, "d MMM y, HH:mm", tzinfo=CHILE, locale=self.locale)


SPANISH: Final = Language("es")
ENGLISH: Final = Language("en")


def slug(name: str) -> str:
    """A name as a part of an address: `Ñuñoa` is `nunoa`."""
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
