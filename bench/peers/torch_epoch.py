"""Both models in PyTorch, with the method of the job. The protocol is that of turns.py. Rows are tensors in memory, split into batches once, without a
data loader.

- `autograd`: `nn.Linear`, its loss, backward, `torch.optim.SGD`
- `compiled`: the same, forward and backward through `torch.compile`
- `closed form`: the derivation by tensor operations, in place and without a graph
"""

import numpy as np
import torch
from torch import nn

import turns

job = turns.read_job()
torch.set_num_threads(job["threads"])
d, batch, rate = job["features"], job["batch"], job["learning_rate"]
is_softmax = job["model"] == "softmax"
k = job["classes"] if is_softmax else 1
x, labels = turns.rows(job, np.dtype(job["precision"]).type)
x = torch.from_numpy(x)
y = torch.from_numpy(labels.astype(np.int64)) if is_softmax else torch.from_numpy(labels).to(x.dtype).unsqueeze(1)
batches = list(zip(x.split(batch), y.split(batch)))
loss_of = nn.CrossEntropyLoss() if is_softmax else nn.BCEWithLogitsLoss()


def start_module():
    model = nn.Linear(d, k, dtype=x.dtype)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model, torch.optim.SGD(model.parameters(), lr=rate)


def forward(model, xs, ys):
    return loss_of(model(xs), ys)


if job["method"] == "compiled":
    forward = torch.compile(forward, dynamic=False)


def by_autograd(state):
    model, optimizer = state
    for xs, ys in batches:
        loss = forward(model, xs, ys)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return state, loss.detach()


one_hot = nn.functional.one_hot(y, k).to(x.dtype) if is_softmax else y


@torch.inference_mode()
def by_closed_form(state):
    w, b = state
    for first in range(0, len(x), batch):
        xs, ys = x[first : first + batch], one_hot[first : first + batch]
        z = torch.addmm(b, xs, w)
        if is_softmax:
            log_p = torch.log_softmax(z, 1)
            loss = -(log_p * ys).sum() / batch
            residual = log_p.exp_().sub_(ys)
        else:
            loss = (nn.functional.softplus(z) - ys * z).mean()
            residual = z.sigmoid_().sub_(ys)
        w.addmm_(xs.T, residual, alpha=-rate / batch)
        b.sub_(residual.sum(0), alpha=rate / batch)
    return state, loss


if job["method"] == "closed form":
    start, epoch = lambda: (torch.zeros(d, k, dtype=x.dtype), torch.zeros(k, dtype=x.dtype)), by_closed_form
else:
    start, epoch = start_module, by_autograd
turns.serve("PyTorch " + torch.__version__.split("+")[0], start, epoch)
