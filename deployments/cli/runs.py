"""Commands that do the pipeline's work: the main job, its parts, and work on many months."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from deployments.cli.app import JsonOption, PrefectOption, app, run, say, say_json
from sec_core.clock import SystemClock
from sec_core.config import load_settings
from sec_core.errors import IncompleteError, InputError
from sec_core.hours import Month, month_range, past_or_present
from sec_core.text import counted

MonthOption = Annotated[str | None, Option(metavar="YYYY-MM", help="The month; without it, the one before this.")]
FromOption = Annotated[str, Option("--from", metavar="YYYY-MM", help="The earliest month.")]
ToOption = Annotated[str, Option("--to", metavar="YYYY-MM", help="The latest month.")]
WaitOption = Annotated[bool, Option("--wait", help="While the circuit is open, wait and go on by itself.")]
NoWaitOption = Annotated[bool, Option("--no-wait", help="End when the circuit opens, instead of waiting and going on.")]
OtherSourceOption = Annotated[
    bool, Option("--other-source", help="Publish data of the simulator or of another host than the SEC's.")
]


@app.command()
def sync(
    month: MonthOption = None,
    wait: WaitOption = False,
    other_source: OtherSourceOption = False,
    json: JsonOption = False,
    prefect: PrefectOption = None,
) -> None:
    """Capture a month, load it, build Gold and publish it: the main job."""
    chosen = {"month": _checked(month), "wait_for_circuit": wait, "other_source": other_source}
    work_on("sync_month", "monthly_sync", prefect, json=json, **chosen)


@app.command()
def capture(
    month: MonthOption = None,
    wait: WaitOption = False,
    force: Annotated[bool, Option("--force", help="Ask for settled hours too.")] = False,
    prefect: PrefectOption = None,
) -> None:
    """Ask the source for a month's hours that are not settled, and keep what it says."""
    work_on("capture_month", "capture", prefect, month=_checked(month), wait_for_circuit=wait, force=force)


@app.command()
def load(month: MonthOption = None, prefect: PrefectOption = None) -> None:
    """Bring PostgreSQL up to what Bronze holds of a month, without a request to the source."""
    work_on("load_month", "load", prefect, month=_checked(month))


@app.command()
def gold(prefect: PrefectOption = None) -> None:
    """Make Gold from what PostgreSQL holds: Parquet, payloads, the site; nothing if it is up to date."""
    from sec_core.usecases.gold import build_gold

    built = run(build_gold, "flows.gold:gold", prefect)
    place = load_settings().gold
    payloads = counted(len(built.payloads), "payload")
    say(f"Gold holds {counted(built.events, 'event')}; its {payloads} and files are in {place}.")


@app.command()
def publish(
    force: Annotated[bool, Option("--force", help="Publish although much of what is published would be lost.")] = False,
    other_source: OtherSourceOption = False,
    payloads: Annotated[
        list[str] | None, Argument(help="With --force: only these may lose something, such as market_map.")
    ] = None,
    prefect: PrefectOption = None,
) -> None:
    """Send Gold to Supabase, whole or not at all."""
    from sec_core.usecases.gold import publish_gold

    chosen = {"force": force, "other_source": other_source, "payloads": payloads or []}
    report = run(publish_gold, "flows.gold:publish", prefect, **chosen)
    say(report.line())


@app.command()
def explain(
    payload: Annotated[str, Argument(help="A payload, as reliability; or event.")],
    wanted: Annotated[
        list[str] | None, Argument(metavar="KEY=VALUE", help="Which row; of an event, its hash_id.")
    ] = None,
    captures: Annotated[bool, Option("--captures", help="List each capture that it rests on.")] = False,
    json: JsonOption = False,
    prefect: PrefectOption = None,
) -> None:
    """What a published figure rests on, and the same computed again from the kept answers: exit code 1 if not equal."""
    from sec_core.usecases.gold import explain_figure

    found = run(explain_figure, "flows.gold:explain", prefect, payload=payload, wanted=wanted or [])
    if json:
        hidden = None if captures else {"files"}
        sys.stdout.write(found.model_dump_json(indent=2, exclude=hidden) + "\n")
    else:
        for line in found.markdown(files=captures, show=str).splitlines():
            say(line)
    if found.equal is False:
        raise IncompleteError(f"{payload}: {found.verdict()} {found.differences[0]}", next_step=found.next_step())


@app.command()
def backfill(
    first: FromOption,
    last: ToOption,
    oldest_first: Annotated[bool, Option("--oldest-first", help="Begin with the earliest month.")] = False,
    no_wait: NoWaitOption = False,
    other_source: OtherSourceOption = False,
    prefect: PrefectOption = None,
) -> None:
    """Capture and load many months, newest first. Stop it at any time; run again, it goes on where it was."""
    from sec_core.usecases.months import Order

    month_range(Month.parse(first), Month.parse(last))
    order = Order.OLDEST_FIRST if oldest_first else Order.NEWEST_FIRST
    chosen = {"first": first, "last": last, "order": order, "wait_for_circuit": not no_wait}
    work_on("backfill", "backfill", prefect, json=False, **chosen, other_source=other_source)


@app.command()
def rerun(
    month: Annotated[
        list[str] | None, Option(metavar="YYYY-MM", help="A month; repeatable. Without: all that miss hours.")
    ] = None,
    no_wait: NoWaitOption = False,
    other_source: OtherSourceOption = False,
    prefect: PrefectOption = None,
) -> None:
    """Mend months: ask only for what is missing or unsettled, then load, build and publish again."""
    from sec_core.usecases.months import ALL_FAILED

    months = [_checked(text) for text in month or []] or ALL_FAILED
    work_on("rerun", "rerun_month", prefect, months=months, wait_for_circuit=not no_wait, other_source=other_source)


@app.command()
def reprocess(
    first: FromOption, last: ToOption, other_source: OtherSourceOption = False, prefect: PrefectOption = None
) -> None:
    """Silver and Gold again from Bronze, asking the SEC nothing; bodies of a shape learned since leave quarantine."""
    month_range(Month.parse(first), Month.parse(last))
    work_on("reprocess", "reprocess", prefect, first=first, last=last, other_source=other_source)


@app.command()
def seia(
    file: Annotated[Path, Argument(help="The SEIA site's Excel export, or its older CSV.", dir_okay=False)],
    prefect: PrefectOption = None,
) -> None:
    """Take in the list of electrical projects, and bring Gold up to date; rows left out are listed with the reason."""
    from sec_core.gold.sheets import hand_in
    from sec_core.usecases.gold import import_seia

    found = run(import_seia, "flows.gold:seia", prefect, file=hand_in(file, load_settings().inbox_dir))
    for row in found.rejected:
        say(f"left out: row {row.row}, {row.name or '(no name)'}: {row.reason}")
    say(
        f"{counted(found.projects, 'electricity project')}, {found.spanning:,} of them in several regions, "
        f"{found.without_investment:,} without an amount; {counted(len(found.rejected), 'row')} left out."
    )


@app.command()
def customers(
    file: Annotated[Path, Argument(help="A monthly billing file of the CNE: CSV or workbook.", dir_okay=False)],
    prefect: PrefectOption = None,
) -> None:
    """Take in customers by comuna, and bring Gold up to date; rows left out are listed with the reason."""
    from sec_core.gold.customers import MOST_LISTED, billing_months
    from sec_core.gold.sheets import hand_in
    from sec_core.usecases.gold import import_customers

    found = run(import_customers, "flows.gold:customers", prefect, file=hand_in(file, load_settings().inbox_dir))
    for row in found.rejected[:MOST_LISTED]:
        say(f"left out: row {row.row}: {row.reason}")
    for month, comunas, count in billing_months(found.customers).iter_rows():
        say(f"{month}: {counted(count, 'customer')} in {counted(comunas, 'comuna')}.")
    if found.rejected:
        raise IncompleteError(
            f"{counted(len(found.rejected), 'row')} of {file.name} left out, {found.rows:,} taken in.",
            next_step="Correct them, and take the file in again.",
        )


@app.command()
def release(
    version: Annotated[str | None, Argument(metavar="[VERSION]", help="YYYY.M or YYYY.M.N.")] = None,
    draft: Annotated[bool, Option("--draft", help="Pass over the bound on coverage, and mark it so.")] = False,
    other_source: OtherSourceOption = False,
    check: Annotated[str | None, Option(metavar="VERSION", help="Verify a release.")] = None,
    show: Annotated[bool, Option("--list", help="List all releases.")] = False,
    prefect: PrefectOption = None,
) -> None:
    """Make all data into a release that can be cited: checked, with sums, never changed; or verify one."""
    if [version is not None, check is not None, show].count(True) != 1:
        raise InputError("A version, --check VERSION or --list is needed, and one of them alone.")
    from sec_core.usecases import gold as usecases

    settings = load_settings()
    if version is not None:
        chosen = {"version": version, "draft": draft, "other_source": other_source}
        say(run(usecases.release, "flows.gold:release", prefect, **chosen).line())
    elif check is not None:
        usecases.check_release(settings, check)
        say(f"Release {check} is whole: sums, keys, ranges and figures are as they were.")
    else:
        from deployments.cli.show import print_table

        rows = [([*each], False) for each in usecases.list_releases(settings)]
        print_table(("version", "made", "data until", "kind", "files", "MB"), rows)


@app.command()
def site(
    show: Annotated[bool, Option("--open", help="Open its first page in a browser.")] = False,
    publish: Annotated[bool, Option("--publish", help="Put it where SEC_SITE_TARGET says.")] = False,
    prefect: PrefectOption = None,
) -> None:
    """Build the site, as `sec gold` and `sec sync` do too, and show or publish it."""
    from sec_core.usecases import gold as usecases

    say(run(usecases.site, "flows.gold:site", prefect, publish=publish).line())
    if show:
        typer.launch((_site_folder() / "index.html").as_uri())


def _site_folder() -> Path:
    """Where a browser finds the site: an object store's is copied beside the state."""
    from sec_core.blobs.local import LocalBlobs
    from sec_core.blobs.place import open_blobs
    from sec_core.gold.site.put import put, read_site
    from sec_core.gold.standing import SITE

    settings = load_settings()
    folder = settings.gold / SITE.rstrip("/")
    if not isinstance(folder, Path):
        copy = settings.state / "site"
        put(read_site(open_blobs(folder)), LocalBlobs(copy))
        return copy
    return folder


def _checked(month: str | None) -> str | None:
    """The month as it was written, once it is known that the source can have it; before anything starts."""
    if month is not None:
        past_or_present(Month.parse(month), SystemClock().now())
    return month


def work_on(use_case: str, flow: str, prefect: bool | None, *, json: bool = False, **chosen: object) -> None:
    """Run a use case over months and show its figures, also when some stay incomplete.

    Args:
        use_case: Its name in `sec_core.usecases.months`.
        flow: The name of the same in `flows.months`.
        prefect: As `run` takes it.
        json: Whether the month's report goes to standard output as JSON.
        chosen: What the person chose.
    """
    from deployments.cli.show import print_reports
    from sec_core.usecases import months
    from sec_core.usecases.reports import MonthsIncomplete

    show = (lambda reports: say_json(reports[0].model_dump(mode="json"))) if json else print_reports
    try:
        found = run(getattr(months, use_case), f"flows.months:{flow}", prefect, **chosen)
    except MonthsIncomplete as error:
        show(error.reports)
        raise
    show(found if isinstance(found, list) else [found])
