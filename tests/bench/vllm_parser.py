"""Our reading of vLLM's command lines beside that of vLLM's own parser."""

from tests.bench.figures import Figure
from tests.real.vllm_own import parsed
from tests.vllm_lines import differs, ours, random_lines

COUNT = 2500
# Not that of the tests.
SEED = 7
_SHOWN = 3


async def measure() -> list[Figure]:
    """Give vllm_parser_differential and unresolved_share."""
    asked = list(random_lines(COUNT, SEED))
    answered = zip(asked, parsed(asked).answers, strict=True)
    taken = [(one, answer) for one, answer in answered if answer is not None]
    wrong = [text for one, answer in taken if (text := differs(one, answer))]
    unknown = sum(ours(one)[1] for one, _ in taken)
    of = f"of {len(taken)} that vLLM takes, of {COUNT}"
    shown = f": {'; '.join(wrong[:_SHOWN])}".replace("|", "/") if wrong else ""
    return [
        Figure("vllm_parser_differential", len(wrong), "readings", "= 0", of + shown),
        Figure("unresolved_share", unknown / len(taken), "share", "<= 0.05", f"{unknown} {of}"),
    ]
