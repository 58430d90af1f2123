"""A network that looks at nothing and guesses: the yardstick of an honest protocol.

With C classes a guesser's expected recall of every class is 1/C, whatever the data. A protocol that reports
clearly more for it has seen the test labels: about .8 UF1 on 3 classes where each subject is scored at the
epoch, out of hundreds, that was best *on that subject*. Try any protocol on it before believing its numbers.
"""

import torch
from torch import Tensor, nn


class RandomGuess(nn.Module):
    """Fresh standard normal logits at every forward, training or evaluation, from torch's global generator.

    Seed torch to repeat the guesses. `offset`, the only parameter, is added to all logits alike: it gives an
    optimizer something to train and can never change a guess or a probability.

    Args:
        num_classes: size of the output, at least 2.

    Shape:
        input ``(N, ...)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: fewer than 2 classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes={num_classes} leaves nothing to guess, expected at least 2")
        self.num_classes = num_classes
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.randn(len(x), self.num_classes, device=x.device) + self.offset
