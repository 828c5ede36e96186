"""What a tenant who knows the cluster may try with its pods' tokens, and the rule by which each is refused.

Rows of the table are made of a world (`world.py`); tests send each to a broker process, and the bench counts
what they reach.
"""

from typing import Final

from tests.real.broker.attacks.content import CONTENT
from tests.real.broker.attacks.names import NAMES
from tests.real.broker.attacks.rows import ROWS, WHERE
from tests.real.broker.attacks.who import WHO
from tests.real.broker.attacks.wire import BODIES, HTTP

ATTACKS: Final = (*WHO, *ROWS, *WHERE, *NAMES, *CONTENT, *BODIES, *HTTP)
