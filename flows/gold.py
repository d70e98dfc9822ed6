"""Flows about what Gold is made of: Gold itself, its publication, customers, projects of the SEIA."""

from typing import Annotated

from prefect.artifacts import acreate_markdown_artifact
from pydantic import Field

from flows.artifacts import STEPS, show_billing
from flows.telling import OtherSource, flow
from sec_core.gold.customers import Billing
from sec_core.gold.explanation import Explanation
from sec_core.gold.publish import PublishReport
from sec_core.gold.release.write import ReleaseReport
from sec_core.gold.seia import SeiaReport
from sec_core.gold.standing import BuiltGold
from sec_core.silver.universe import UniverseReport
from sec_core.usecases import gold as usecases
from tasks.runtime import adapters

InboxFile = Annotated[
    str, Field(pattern=r"^[^/\\]+$", max_length=255, examples=["seia.xlsx"], title="File in the inbox")
]


@flow(name="gold")
async def gold() -> BuiltGold:
    """Make all of Gold from what PostgreSQL holds, publish it locally, and draw the site."""
    return await STEPS.bring_gold_up_to_date()


@flow(name="publish")
async def publish(
    force: Annotated[bool, Field(title="Publish although much would be lost")] = False,
    other_source: OtherSource = False,
    payloads: Annotated[
        list[Annotated[str, Field(max_length=60)]],
        Field(max_length=60, title="Only of these payloads", examples=[["market_map"]]),
    ] = [],  # noqa: B006 - Prefect reads it for the form, and nobody changes it
) -> PublishReport:
    """Send what Gold holds to Supabase, whole or not at all.

    Args:
        force: Publish although a payload would lose more than a fifth of its rows or its newest month.
        other_source: Publish to Supabase also data of the simulator or of another host than the SEC's.
        payloads: The payloads that may lose so much; none means all.
    """
    return await STEPS.publish(force, other_source, payloads)


@flow(name="explain", flow_run_name="explain {payload}")
async def explain(
    payload: Annotated[str, Field(max_length=60, title="Payload", examples=["reliability"])],
    wanted: Annotated[
        list[Annotated[str, Field(max_length=200)]],
        Field(max_length=20, title="Row", examples=[["mes=2024-08", "nombre_region=MAULE"]]),
    ],
) -> Explanation:
    """Say what a published figure rests on, and compute it again from the kept answers, asking the SEC nothing.

    Args:
        payload: A payload's id, or event.
        wanted: key=value texts that name one row of it; of an event, its hash_id.
    """
    found = await usecases.explain_figure(adapters(), payload, wanted)
    await acreate_markdown_artifact(key=f"explain-{payload.replace('_', '-')}", markdown=found.markdown(files=True))
    return found


@flow(name="release", flow_run_name="release {version}")
async def release(
    version: Annotated[str, Field(max_length=16, title="Version", examples=["2026.11"])],
    draft: Annotated[bool, Field(title="Draft: pass over the bound on coverage")] = False,
    other_source: OtherSource = False,
) -> ReleaseReport:
    """Make all data into a release that can be cited: checked, with sums, never changed.

    Args:
        version: YYYY.M or YYYY.M.N.
        draft: Pass over the bound on coverage, and mark it so.
        other_source: Make it although the data is not the SEC's.
    """
    made = await usecases.release(adapters(), version, draft, other_source)
    await acreate_markdown_artifact(key=f"release-{version.replace('.', '-')}", markdown=made.markdown())
    return made


@flow(name="site")
async def site(publish: Annotated[bool, Field(title="Put it up")] = True) -> usecases.SiteReport:
    """Bring the site up to date, and put it where SEC_SITE_TARGET says.

    Args:
        publish: Put it up; otherwise it is only built, in Gold's folder.
    """
    return await usecases.site(adapters(), publish)


@flow(name="regional-customers")
async def regional_customers() -> UniverseReport:
    """Ask for the customers of each region and of the country, the denominators of every index, once a month."""
    return await STEPS.refresh_customers()


@flow(name="seia", flow_run_name="seia {file}")
async def seia(file: InboxFile) -> SeiaReport:
    """Take in an export of the SEIA project list, and make Gold again with it.

    Args:
        file: The Excel export of the SEIA site, or its older CSV: its name in the folder `inbox` of the data folder.
    """
    return await usecases.import_seia(adapters(), file)


@flow(name="customers", flow_run_name="customers {file}")
async def customers(file: InboxFile) -> Billing:
    """Take in a monthly billing file of the CNE, the customers of comunas, and make Gold again with it.

    Args:
        file: The file, CSV or workbook: its name in the folder `inbox` of the data folder.
    """
    found = await usecases.import_customers(adapters(), file)
    await show_billing(file, found)
    return found
