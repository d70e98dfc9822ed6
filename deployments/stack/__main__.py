"""The stack in the background, as `sec up --detach` starts it."""

from __future__ import annotations

import sys

from deployments.stack.supervisor import main

sys.exit(main())
