"""What to tell of failures, storms and recoveries, given what was told. Pure: runs and the clock are passed in.

A matter is a month, another flow, the pipeline's health or a storm. A trouble is told once for each kind, once a day
again while it goes on, and once when it is over. What fails again within a day is told, and then is over only after a
day without it: a matter that comes and goes makes three notices on its first day, and one a day from then on.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, Field

from sec_core.hours import CHILE, Month, month_range
from sec_core.text import for_chat, for_line
from tasks.limits import AT_REST, STORM_UNDER_WAY

DAY: Final = timedelta(days=1)
# Months with the same kind of trouble are gathered for so long after a notice of it.
MONTHS_TOGETHER: Final = timedelta(hours=1)
# How long a flow that runs often may fail before it is told of.
PATIENCE: Final = {"monitor": timedelta(hours=1)}
# How Prefect's own words begin where a run was ended from outside: by Ctrl-C or a signal.
CUT_OFF: Final = "Execution was "
WORKER_STOPPED: Final = "The worker was stopped while this ran."
_REMEMBERED = 2 * DAY
_REMEMBERED_OPEN = 60 * DAY
_LONGEST_TEXT = 2000
_MONTH = re.compile(r"(?<![\d-])20\d\d-(?:0[1-9]|1[0-2])(?![\d-])")
_STORMS = re.compile(r"(.+ since (\S+ \d\dh).+) \[([0-9a-f-]{36})\]")
_ERROR = re.compile(r"Flow run encountered an exception:? (?:[a-z_]\w*\.)*(\w+): ")
_UNEXPECTED = re.compile(r"Something unexpected went wrong: (\w+)")
_ADVICE = re.compile(r" In the UI: ([^.]+)")
# A person stopped it, or the machine.
_STOPPED = (CUT_OFF, WORKER_STOPPED)
_TYPED = ("InputError", "ParameterTypeError", "start another run with other values")
_MENDS = {"monthly-sync", "rerun-month", "backfill"}


class Notice(BaseModel):
    """What is sent. The webhook gets it as JSON with `text`, which Slack, Mattermost and others read.

    `run` and `url`, the run's page in the UI, are empty if the notice is about no run.
    """

    flow: str
    run: str = ""
    state: str
    message: str
    url: str = ""

    @property
    def text(self) -> str:
        """All of it in one line, in which nothing acts."""
        return for_chat(f"sec: {self.run or self.flow} {self.state}. {self.message}")


class Matter(BaseModel):
    """What is known of a matter and what was told of it.

    Attributes:
        about: What the newest run said.
        seen: When that run ended.
        since: Since when it is in trouble, or right.
        bad: Kinds of its trouble now; none if it is right.
        told: Kinds told since it was last told to be right.
        told_at: When it was last told of.
        again: Whether it failed again within a day of being told right.
    """

    about: Notice
    seen: datetime
    since: datetime
    bad: list[str] = []
    told: list[str] = []
    told_at: datetime | None = None
    again: bool = False


class Due(BaseModel):
    """A notice to be sent, the matters that it is about, and what gathers them."""

    notice: Notice
    keys: list[str]
    group: str = ""


class Told(BaseModel):
    """What is remembered from one look to the next.

    Attributes:
        looked: When the server was asked last.
        healthy: When a health check finished last, or when this began.
        groups: When each kind of trouble of months was told of last.
        storms: Storms under way in the monitor's last run, with their beginning on Chile's clock.
    """

    looked: datetime
    healthy: datetime
    matters: dict[str, Matter] = Field(default_factory=dict)
    groups: dict[str, datetime] = Field(default_factory=dict)
    storms: dict[str, str] = Field(default_factory=dict)

    def learn(self, run: dict[str, Any], flow: str, ui: str) -> None:
        """Take in a run that ended, as the Prefect API tells of it."""
        state, message = run["state"], run["state"]["message"] or ""
        stopped = state["type"] == "CRASHED" and message.startswith(_STOPPED)
        if state["type"] not in {"COMPLETED", "FAILED", "CRASHED"} or state["name"] == AT_REST or stopped:
            return
        at = datetime.fromisoformat(run["end_time"])
        if flow == "health":
            self.healthy = max(self.healthy, at)
        text = for_line(_ERROR.sub("", message) or "No reason was given.", _LONGEST_TEXT)
        about = {"flow": flow, "run": for_line(run["name"]), "url": f"{ui}/runs/flow-run/{run['id']}"}
        kinds = _kinds(state, message)
        if not any(kind.startswith(_TYPED) for kind in kinds):
            notice = Notice(**about, state=for_line(state["name"]), message=text)
            self.see(at, self._keys(run, flow, message), kinds, notice)
        if flow == "monitor" and state["type"] == "COMPLETED":
            found = {storm: (since, line) for line, since, storm in _STORMS.findall(message)}
            self._know_again({storm: since for storm, (since, _) in found.items()})
            for storm, (_, line) in found.items():
                notice = Notice(flow=flow, state="saw a storm", message=for_line(line), url=about["url"])
                self.see(at, {f"storm {storm}"}, {STORM_UNDER_WAY}, notice)

    def see(self, at: datetime, keys: Iterable[str], kinds: Collection[str], notice: Notice) -> None:
        """Take in what a run, or its absence, says of some matters, unless something newer is known.

        Without `kinds` they are right.
        """
        for key in keys:
            known = self.matters.get(key)
            if known is None:
                if kinds:
                    self.matters[key] = Matter(about=notice, seen=at, since=at, bad=sorted(kinds))
                continue
            if at <= known.seen or (not kinds and not _mends(key, notice, known.about)):
                continue
            if bool(known.bad) != bool(kinds):
                known.since = at
                if kinds and not known.told:
                    known.again = known.told_at is not None and at - known.told_at < DAY
            known.seen, known.bad, known.about = at, sorted(kinds), notice

    def due(self, now: datetime) -> list[Due]:
        """What is to be told now."""
        months: defaultdict[str, list[str]] = defaultdict(list)
        due = []
        for key, matter in self.matters.items():
            if not self._is_due(matter, now):
                continue
            if _MONTH.fullmatch(key):
                months[" ".join(matter.bad) or "right"].append(key)
            else:
                due.append(Due(notice=_notice(key, matter), keys=[key]))
        for group, keys in months.items():
            if group not in self.groups or now - self.groups[group] >= MONTHS_TOGETHER:
                due.append(Due(notice=_joint(sorted(keys), self.matters), keys=keys, group=group))
        return due

    def tell(self, due: Due, now: datetime) -> None:
        """Note that a notice was sent."""
        for matter in (self.matters[key] for key in due.keys):
            matter.told = sorted({*matter.told, *matter.bad}) if matter.bad else []
            matter.told_at = now
        if due.group:
            self.groups[due.group] = now

    def forget(self, now: datetime) -> None:
        """Forget what is long over."""
        for key, matter in list(self.matters.items()):
            open_ = matter.told or matter.bad
            if now - max(matter.seen, matter.told_at or matter.seen) > (_REMEMBERED_OPEN if open_ else _REMEMBERED):
                del self.matters[key]
        self.groups = {group: at for group, at in self.groups.items() if now - at < MONTHS_TOGETHER}

    def _is_due(self, matter: Matter, now: datetime) -> bool:
        for_now = now - matter.since
        if not matter.bad:
            return bool(matter.told) and for_now >= (DAY if matter.again else timedelta(0))
        flow = matter.about.flow
        # What keeps the monitor from its work is what health tells of.
        health = self.matters.get("health")
        if matter.bad != [STORM_UNDER_WAY] and (
            for_now < PATIENCE.get(flow, timedelta(0)) or (flow == "monitor" and health is not None and health.bad)
        ):
            return False
        if set(matter.bad) - set(matter.told) or matter.told_at is None:
            return True
        return matter.bad != [STORM_UNDER_WAY] and matter.seen > matter.told_at and now - matter.told_at >= DAY

    def _keys(self, run: dict[str, Any], flow: str, message: str) -> set[str]:
        """The matters that a run is about: its months, or its flow."""
        chosen, ended = run["parameters"], run["state"]["type"]
        if flow not in _MENDS | {"capture", "load", "reprocess"}:
            return {flow}
        if ended == "FAILED" and (named := _MONTH.findall(message)):
            return set(named)
        if "first" in chosen:
            first, last = str(chosen["first"]), str(chosen["last"])
            months = month_range(Month.parse(first), Month.parse(last)) if ended == "COMPLETED" else []
            return {f"{flow} {first} to {last}", *map(str, months)}
        months = chosen.get("months", chosen.get("month"))
        if isinstance(months, list):
            return set(map(str, months))
        if months == "all failed" and ended == "COMPLETED":
            return {flow, *filter(_MONTH.fullmatch, self.matters)}
        return set(_MONTH.findall(run["name"])) or {flow}

    def _know_again(self, found: dict[str, str]) -> None:
        """A storm's identity changes as its first hour fills, and as it meets an older one: it stays the same storm."""
        gone = {storm: since for storm, since in self.storms.items() if storm not in found}
        for storm, since in found.items():
            older = [each for each, begun in gone.items() if since <= begun and f"storm {each}" in self.matters]
            if f"storm {storm}" not in self.matters and older:
                self.matters[f"storm {storm}"] = self.matters[f"storm {older[0]}"]
        self.storms = found


def learn_all(told: Told, runs: Iterable[tuple[dict[str, Any], str]], ui: str) -> None:
    """Take in runs with their flows' names, in the order in which they ended."""
    for run, flow in sorted((each for each in runs if each[0]["end_time"]), key=lambda each: each[0]["end_time"]):
        told.learn(run, flow, ui)


def _kinds(state: dict[str, Any], message: str) -> frozenset[str]:
    """Kinds of a run's trouble: what to do about it, else the error; or what a name such as "Bad: disk" lists."""
    if state["type"] == "COMPLETED":
        return frozenset()
    name, colon, several = state["name"].partition(": ")
    if colon:
        # The circuit is open because the source fails: one trouble.
        return frozenset("source" if each == "circuit" else each for each in several.split(", "))
    found = _UNEXPECTED.match(message) or _ADVICE.search(message) or _ERROR.match(message)
    return frozenset({found[1] if found else name})


def _mends(key: str, right: Notice, failed: Notice) -> bool:
    """Whether a run that ended well says that a matter is right: loading a month finds no hours."""
    return not _MONTH.search(key) or right.flow in _MENDS or right.flow == failed.flow


def _notice(key: str, matter: Matter) -> Notice:
    if matter.bad:
        return matter.about
    told_at = f"{matter.told_at.astimezone(CHILE):%Y-%m-%d %H:%M}" if matter.told_at else ""
    what = f": {', '.join(matter.told)}" if matter.about.flow == "health" else ""
    message = f"What was told at {told_at} in Chile is over{what}."
    run = key if _MONTH.fullmatch(key) else matter.about.run
    return Notice(flow=matter.about.flow, run=run, state="is right again", message=message, url=matter.about.url)


def _joint(keys: list[str], matters: dict[str, Matter]) -> Notice:
    """One notice about months that have the same to tell."""
    newest = max(keys, key=lambda key: matters[key].seen)
    notice = _notice(newest, matters[newest])
    if len(keys) == 1:
        return notice
    listed = ", ".join(keys)
    changed = {"run": f"{len(keys)} months", "state": notice.state.replace("is right", "are right")}
    return notice.model_copy(update=changed | {"message": f"{listed}. The newest: {notice.message}"[:_LONGEST_TEXT]})
