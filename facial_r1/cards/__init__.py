"""Cards: what a model or a written dataset is, for whoever gets it. Everything in a card is read from the run; what is not known is said.

`model_card(run)` and `dataset_card(run)` give Markdown with the front matter that the Hugging Face Hub reads. Imports no torch.
"""

from __future__ import annotations

from facial_r1.cards.dataset import dataset_card
from facial_r1.cards.model import model_card
from facial_r1.cards.write import card_of, write_cards

__all__ = ["card_of", "dataset_card", "model_card", "write_cards"]
