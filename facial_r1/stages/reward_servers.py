"""The servers that rewards and figures of an open vocabulary ask, set up once a process, and only when something asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facial_r1.data import Data
from facial_r1.rewards.open_vocabulary import use_extractor
from facial_r1.rewards.perception import Perception, use_judge
from facial_r1.stages.context import Context

if TYPE_CHECKING:
    from facial_r1.generation.reward_servers import ServerComparer, ServerExtractor

EXTRACTOR, PERCEPTION, COMPARER = "reward_extractor", "reward_perception", "reward_comparer"


def set_up_rewards(context: Context, data: Data) -> None:
    """Set what ``extractor: llm`` and ``ov_perception`` ask in this process, from `reward.extractor` and `reward.judge`.

    Steps of a pipeline share them, so that what one asked the next need not.

    Raises:
        InputError: The variable that holds a key is not set.
    """
    reward = context.job.reward
    asks = data.protocol.extractor == "llm" or any(one.get("extractor") == "llm" for one in reward.options.values())
    set_up_extractor(context, asks)
    if "ov_perception" in reward.weights and PERCEPTION not in context.shared:
        from facial_r1.generation.cache import open_cache
        from facial_r1.generation.reward_servers import ServerComparer

        comparer = ServerComparer(reward.judge, open_cache(reward.judge.cache))
        context.shared[COMPARER] = comparer
        context.shared[PERCEPTION] = Perception(comparer, reward.judge.shown, reward.judge.orders)
    use_judge(context.shared.get(PERCEPTION))


def set_up_extractor(context: Context, asks: bool) -> None:
    """Set what ``extractor: llm`` asks in this process, from `reward.extractor`; without `asks`, no more than is shared already."""
    extractor = context.job.reward.extractor
    if asks and extractor.base_url and EXTRACTOR not in context.shared:
        from facial_r1.generation.cache import open_cache
        from facial_r1.generation.reward_servers import ServerExtractor

        context.shared[EXTRACTOR] = ServerExtractor(extractor, open_cache(extractor.cache))
    use_extractor(context.shared.get(EXTRACTOR))


def server_failures(context: Context) -> dict[str, int]:
    """What the servers were asked and failed at so far, for `failures` of a summary; empty when nothing was asked."""
    found: dict[str, int] = {}
    extractor: ServerExtractor | None = context.shared.get(EXTRACTOR)
    if extractor is not None:
        found |= {f"extractor_{name}": extractor.counts[name] for name in ("asked", "unanswered", "unreadable")}
    comparer: ServerComparer | None = context.shared.get(COMPARER)
    perception: Perception | None = context.shared.get(PERCEPTION)
    if comparer is not None and perception is not None:
        found |= {f"comparison_{name}": comparer.counts[name] for name in ("asked", "unanswered", "unreadable")}
        found |= {f"comparison_{name}": perception.counts[name] for name in ("ties", "unread", "unranked")}
    return found
