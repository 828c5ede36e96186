"""A broker that takes any id for one of the pod's own rows: shows that what is reached is counted."""

import sys

from webhook.broker import row_rules
from webhook.cli import main

if __name__ == "__main__":
    row_rules.own_id = lambda *_: None
    sys.exit(main())
