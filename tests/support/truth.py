"""What the pipeline must find out of a simulated world, computed from the world and by `reference_rules`.

Nothing here is shared with the pipeline's rules: what both say alike is right, or wrong in two independent ways.
Places are official codes (`""` for UNKNOWN), companies canonical names.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace
from datetime import date, datetime

from sec_core.db.database import Database
from sec_core.hours import CHILE
from sec_core.silver.timeline import EventRules
from sec_core.simulator.answers import WorldAnswers
from sec_core.simulator.country import chile_date, hour_index
from sec_core.simulator.options import Dirt, Storm, WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.simulator.world import BAD_COMPANY, BAD_COUNT, BAD_DATE, Row, World
from sec_core.source.shapes import Shape
from support import reference_rules as plain
from support.reference_rules import Event, Hour

UNKNOWN = "UNKNOWN"
NOT_REPORTED = "NO INFORMADA"

Group = tuple[str, str, "date | None"]


@dataclass(frozen=True, slots=True)
class Listed:
    """What one hour says of one group of rows."""

    customers: int  # sum; invalid counts are 0
    rows: int
    bad_counts: int = 0  # rows whose count is invalid
    bad_dates: int = 0  # rows whose start date is


class Truth:
    """Truth about a world, given which hours are captured.

    Args:
        world: The world.
        revision_of: Revision of an hour that counts; by default the one at its closing.
        shape_of: Shape in which an hour was captured; by default detailed.
    """

    def __init__(
        self,
        world: World,
        *,
        revision_of: Callable[[datetime], int] = lambda _hour: 0,
        shape_of: Callable[[datetime], Shape] = lambda _hour: Shape.DETAILED,
    ) -> None:
        self.world = world
        self._revision_of = revision_of
        self._shape_of = shape_of
        self._codes = [place.code for place in world.places]

    def hours_with_data(self, hours: Iterable[datetime]) -> list[datetime]:
        """Those of `hours` for which the source has data, in order."""
        return sorted(hour for hour in hours if self.world.has_data(hour))

    def row_count(self, hour: datetime, shape: Shape | None = None) -> int:
        """Rows of an hour's body."""
        return sum(listed.rows for listed in self.observations(hour, shape).values())

    def national(self, hour: datetime) -> int:
        """Customers affected in an hour, blank-named rows included."""
        return sum(_customers(row) for row in self._rows(hour))

    def comuna_values(self, hour: datetime) -> dict[str, int]:
        """Customers by comuna code in an hour; `""` holds blank and unknown names."""
        values: dict[str, int] = defaultdict(int)
        for row in self._rows(hour):
            values[self._codes[row.place] if row.place >= 0 else ""] += _customers(row)
        return dict(values)

    def observations(self, hour: datetime, shape: Shape | None = None) -> dict[Group, Listed]:
        """An hour's rows by comuna code, company and start date (aggregated: `NO INFORMADA` and None).

        The shape is by default the one in which it was captured.
        """
        if (shape or self._shape_of(hour)) is Shape.AGGREGATED:
            names = len({row.place for row in self._rows(hour) if row.place < 0})
            return {
                (code, NOT_REPORTED, None): Listed(customers, 1 if code else names)
                for code, customers in self.comuna_values(hour).items()
            }
        found: dict[Group, list[int]] = {}
        today = chile_date(hour_index(hour))
        for row in self._rows(hour):
            wrong = row.wrong
            place = self._codes[row.place] if row.place >= 0 else ""
            company = UNKNOWN if wrong & BAD_COMPANY or not row.company else row.company
            sums = found.setdefault((place, company, today if wrong & BAD_DATE else row.day), [0, 0, 0, 0])
            sums[0] += 0 if wrong & BAD_COUNT else row.customers
            sums[1] += 1
            if wrong:
                sums[2] += bool(wrong & BAD_COUNT)
                sums[3] += bool(wrong & BAD_DATE)
        return {group: Listed(*sums) for group, sums in found.items()}

    def events(self, hours: Iterable[datetime]) -> list[Event]:
        """Events of all captured hours by the plain rules, with codes and names in the place of numbers."""
        history = {
            hour: Hour(
                self._shape_of(hour).value,
                [plain.Listed(*group, seen.customers) for group, seen in self.observations(hour).items()],
            )
            for hour in self.hours_with_data(hours)
        }
        found = plain.all_events(history, EventRules())
        return [replace(each, company=NOT_REPORTED) if each.shape == "aggregated" else each for each in found]

    def _rows(self, hour: datetime) -> list[Row]:
        return self.world.rows(hour, self._revision_of(hour))


def stormy(hours: list[datetime], seed: int, *holes: tuple[str, str]) -> World:
    """A small world with a storm in these hours, wrong values, and hours without data."""
    storm = Storm(start=hours[30], customers=30_000, rows=200, hours_to_peak=5)
    dirt = Dirt(count=0.02, place=0.01, company=0.02, date=0.02)
    return World(WorldOptions.tiny(seed=seed, storms=(storm,), holes=holes, dirt=dirt))


def truth_of(source: Simulator) -> Truth:
    """Truth about a running world: of each hour the revision and shape as it was last answered, or would be first."""
    answers = source.answers
    assert isinstance(answers, WorldAnswers)
    answered = {}
    for request in sorted(source.requests, key=lambda item: item.ended or 0):
        if request.sound and request.revision is not None:
            answered[request.hour] = (request.revision, request.shape)
    return Truth(
        answers.world,
        revision_of=lambda hour: answered.get(hour, (0, None))[0],
        shape_of=lambda hour: answered.get(hour, (0, None))[1] or answers.shape_of(hour),
    )


def assert_loaded(database: Database, events: Iterable[Event]) -> None:
    """Silver holds exactly these events, to the hour and the customer."""
    columns = (
        "hash_id, forma, codigo_comuna, nombre_empresa, inicio, fin, primera_hora, ultima_hora, hora_maximo, "
        "clientes_afectados_crudo, cliente_horas, n_observaciones"
    )
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(f"select {columns} from v_interrupciones").all()
    expected = {(_hash(event), *astuple(event)[:-1]) for event in events}
    assert {tuple(row) for row in found} == expected
    assert len(found) == len(expected) > 20


def _hash(event: Event) -> uuid.UUID:
    form = "%Y%m%d" if event.shape == "detailed" else "%Y%m%dT%H"
    text = f"{event.geo}|{event.company}|{event.start.astimezone(CHILE):{form}}"
    return uuid.UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest())


def _customers(row: Row) -> int:
    return 0 if row.wrong & BAD_COUNT else row.customers
