"""The Prefect block through which notices go out as e-mail.

Prefect has such blocks for services on the web alone. Its server finds this one by the entry point
`prefect.collections` of this package, as it finds those of Prefect's own collections.
"""

from __future__ import annotations

from prefect.blocks.notifications import AppriseNotificationBlock
from pydantic import Field, SecretStr


class MailNotification(AppriseNotificationBlock):
    """Sends notifications by e-mail.

    Attributes:
        url: Server, sender and receivers as Apprise writes them; see `deployments.stack.mail.sender_url`.
    """

    _block_type_name = "E-mail"
    _block_type_slug = "sec-mail"

    url: SecretStr = Field(
        title="Mail server and receivers",
        description="As `sec up` makes it of SEC_NOTIFY_EMAIL and SEC_SMTP_URL; kept encrypted.",
    )
